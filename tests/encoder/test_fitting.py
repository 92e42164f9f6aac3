"""Models whose parts do not fit each other are refused before anything is trained, and what may be meant is told."""

import json
import re

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from pipeline.encoder.encoder import Encoder
from pipeline.encoder.pretrained import NamedBackbone
from tests.encoder.test_any_model import SPECIAL, TEXTS, WORDS, bert, dense, family, ours, plain, pooled, static, t5, tokenizer


def opened(place):
    return Encoder(NamedBackbone(name=str(place), revision=None, causal=None)([]))


def weights(place, change, file="model.safetensors"):
    found = change(load_file(place / file))
    save_file({name: one.contiguous() for name, one in found.items()}, place / file, metadata={"format": "pt"})
    return place


def settings(place, file="config.json", **values):
    (place / file).write_text(json.dumps(json.loads((place / file).read_text()) | values))
    return place


def written(place, file, content):
    (place / file).write_bytes(content)
    return place


def without(place, *files):
    for file in files:
        (place / file).unlink()
    return place


def words(**special):
    """A tokenizer of whole words that puts nothing around a text."""
    ids = {token: i for i, token in enumerate([*SPECIAL, *dict.fromkeys(WORDS)])}
    made = Tokenizer(models.WordLevel(ids, **({"unk_token": special["unk_token"]} if "unk_token" in special else {})))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)


def letters():
    """A tokenizer of letters, which has no token for others."""
    known = sorted({letter for word in WORDS for letter in word})
    made = Tokenizer(models.BPE({token: i for i, token in enumerate([*SPECIAL, *known])}, []))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


def of_words(folder, **special):
    return plain(folder / "m", "Bert", max_position_embeddings=40, words=words(**special))


REFUSED = {
    "a layer is missing": (
        lambda f: weights(bert(f), lambda w: {n: x for n, x in w.items() if "layer.1." not in n}),
        r"bert: the weights lack 16 of the 39 tensors of BertModel \(encoder.layer.1.attention.output.LayerNorm.bias, .*drawn at random",
    ),
    "the words' table is missing": (
        lambda f: weights(bert(f), lambda w: {n: x for n, x in w.items() if "word" not in n}),
        r"lack 1 of the 39 tensors of BertModel \(embeddings.word_embeddings.weight\)",
    ),
    "names of somebody else": (
        lambda f: weights(bert(f), lambda w: {f"trunk.{n}": x for n, x in w.items()}),
        r"lack 37 of the 39 tensors.*the files hold trunk.embeddings.*which the model has no place for",
    ),
    "config.json says more layers": (lambda f: settings(bert(f), num_hidden_layers=3), r"lack 16 of the 55 tensors"),
    "another shape": (
        lambda f: weights(bert(f), lambda w: w | {"encoder.layer.0.output.dense.weight": torch.zeros(8, 8)}),
        r"other shapes than config.json says: encoder.layer.0.output.dense.weight is \(8, 8\), expected \(16, 32\)",
    ),
    "config.json says another width": (
        lambda f: settings(bert(f), hidden_size=8),
        r"other shapes.* is \(16,\), expected \(8,\)",
    ),
    "a shape behind the transformer": (
        lambda f: weights(dense(f), lambda w: {n: x[:4] for n, x in w.items()}, "3_Dense/model.safetensors"),
        r"cannot load model .*size mismatch for linear.weight",
    ),
    "NaN": (
        lambda f: weights(bert(f), lambda w: w | {"embeddings.LayerNorm.bias": w["embeddings.LayerNorm.bias"] * torch.nan}),
        r"vector of a text holds NaN or infinity, as its weights do \(0.model.embeddings.LayerNorm.bias\)",
    ),
    "infinity in a table": (
        lambda f: weights(static(f), lambda w: {n: x / 0 for n, x in w.items()}),
        r"holds NaN or infinity, as its weights do \(0.embedding.weight\)",
    ),
    "half a file": (
        lambda f: written(bert(f), "model.safetensors", (f / "bert/model.safetensors").read_bytes()[:9000]),
        r"model.safetensors ends in the middle of tensor .*fetch or write it again",
    ),
    "a pointer": (
        lambda f: written(bert(f), "model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        r"model.safetensors is a pointer of Git LFS, not the weights themselves; fetch them: git lfs pull",
    ),
    "config.json is damaged": (lambda f: written(bert(f), "config.json", b"{"), r"bert/config.json is no JSON"),
    "tokenizer.json is damaged": (lambda f: written(bert(f), "tokenizer.json", b'{"x'), r"bert/tokenizer.json is no JSON"),
    "modules.json is damaged": (lambda f: written(pooled("cls")(f), "modules.json", b"["), r"modules.json is no JSON"),
    "no pooling where one is named": (
        lambda f: without(pooled("cls")(f), "1_Pooling/config.json"),
        r"1_Pooling/config.json is missing, but modules.json names the module",
    ),
    "a pooling of another width": (
        lambda f: settings(pooled("mean")(f), "1_Pooling/config.json", embedding_dimension=99),
        r"Transformer, Pooling, Normalize do not fit each other: they make vectors of 16 numbers and say 99",
    ),
    "fewer rows than tokens": (
        lambda f: plain(f / "m", "Bert", max_position_embeddings=40, vocab_size=10),
        r"tokenizer has 18 tokens that the embedding table of 10 rows has no vector for \(the last: ':', id 27\)",
    ),
    "one token beyond the table": (
        lambda f: plain(f / "m", "Bert", max_position_embeddings=40, vocab_size=28, words=tokenizer(pad="<new>")),
        r"tokenizer has 1 tokens that the embedding table of 28 rows has no vector for \(the last: '<new>', id 28\)",
    ),
    "no tokenizer": (
        lambda f: without(bert(f), "tokenizer.json", "tokenizer_config.json"),
        r"tokenizer.json is missing, or vocab.txt",
    ),
    "an empty vocabulary": (
        lambda f: written(without(bert(f), "tokenizer.json", "tokenizer_config.json"), "vocab.txt", b""),
        r"the tokenizer holds no word, only '\[CLS\]'",
    ),
    "a tokenizer without its settings": (
        lambda f: without(bert(f), "tokenizer_config.json"),
        r"cannot read a text with unknown letters: WordPiece error: Missing \[UNK\]",
    ),
    "an unknown token that is none": (
        lambda f: of_words(f, pad_token="<pad>", unk_token="<nothing>"),
        r"the tokenizer cannot read a text with unknown letters",
    ),
    "RoBERTa with another padding": (
        family("Roberta", max_position_embeddings=41, pad_token_id=1),
        r"pads with '<pad>' \(id 0\), but config.json says pad_token_id 1, from which RobertaModel counts positions",
    ),
    "XLM-R with another padding": (
        family("XLMRoberta", max_position_embeddings=41, pad_token_id=3),
        r"config.json says pad_token_id 3, from which XLMRobertaModel counts positions",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_whose_parts_do_not_fit_is_refused_and_the_message_names_the_place(kind, tmp_path):
    make, said = REFUSED[kind]
    with pytest.raises(ValueError, match=re.compile(said, re.S)) as caught:
        opened(make(tmp_path))
    assert str(tmp_path) in str(caught.value)


TOLD = {
    "a table of many more rows": (
        lambda f: plain(f / "m", "Bert", max_position_embeddings=40, vocab_size=57),
        "the tokenizer has 28 tokens, the embedding table 57 rows: is it the tokenizer of this model?",
    ),
    "layers that nobody reads": (
        lambda f: settings(bert(f), num_hidden_layers=1),
        "16 tensors of layers that config.json does not name are not read (encoder.layer.1.",
    ),
    "no unknown token": (
        lambda f: plain(f / "m", "Bert", max_position_embeddings=40, words=letters()),
        "what is not in its vocabulary vanishes from texts",
    ),
    "no pad token but an end": (
        lambda f: plain(f / "m", "Bert", max_position_embeddings=40, words=tokenizer(pad=None)),
        "the tokenizer has no pad token; '</s>' stands in for it",
    ),
    "an end token that is asked for and not there": (
        lambda f: settings(
            plain(f / "m", "Bert", max_position_embeddings=40, words=tokenizer(ends="<s> $A")),
            "tokenizer_config.json",
            add_eos_token=True,
        ),
        "asks for an end token behind each text (add_eos_token), and there is none",
    ),
    "no pad token and no end": (lambda f: of_words(f, unk_token="<unk>"), "the tokenizer has no pad token; '<unk>' stands in"),
}


@pytest.mark.parametrize("kind", TOLD)
def test_what_may_be_meant_is_told_in_a_line(kind, tmp_path, capsys):
    make, said = TOLD[kind]
    assert ours(opened(make(tmp_path)), ["cat sat on a mat"]).shape == (1, 16)
    assert sum(said in line for line in capsys.readouterr().out.splitlines()) == 1


WHOLE = {
    "with a prefix": lambda f: weights(bert(f), lambda w: {f"bert.{n}": x for n, x in w.items()}),
    "with a head": lambda f: weights(bert(f), lambda w: w | {"classifier.weight": torch.zeros(2, 16)}),
    "without a pooler that no vector reads": lambda f: weights(
        bert(f), lambda w: {n: x for n, x in w.items() if "pooler" not in n}
    ),
    "padded vocabulary": lambda f: plain(f / "m", "Bert", max_position_embeddings=40, vocab_size=32),
    "encoder of T5": t5,
    "mask token in the last row": lambda f: plain(f / "m", "Bert", max_position_embeddings=40, vocab_size=28),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_model_that_is_whole_is_taken_and_no_weight_is_drawn(kind, tmp_path, capsys):
    place = WHOLE[kind](tmp_path)
    torch.manual_seed(1)
    one = ours(opened(place), TEXTS)
    torch.manual_seed(2)
    assert (one == ours(opened(place), TEXTS)).all()
    assert "not read" not in capsys.readouterr().out


def test_longer_texts_than_the_model_has_positions_are_cut_where_it_says_more(tmp_path):
    place = settings(pooled("mean")(tmp_path), "sentence_bert_config.json", max_seq_length=512)
    assert opened(place).max_length_tokens == 40
    assert ours(opened(place), ["cat " * 600]).shape == (1, 16)
