"""A model with a longer table reads each token as the old one does at the position that is meant for it."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from pipeline.checkpoint import read_json, sha256
from pipeline.derivation.positions import Positions, stretched
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder

CLOSE = 1e-5  # float32 in batches of other shapes
FIRST = {
    "Bert": 0,
    "MPNet": 2,
    "Roberta": 1,
}  # row of the first token's position: MPNet's padding is 1, RoBERTa's is that of the config
PLACES = 64


def derived(source, target, factor, way):
    encoder = Encoder.load(source)
    facts = Positions(factor=factor, way=way).derive(encoder, [], batch_tokens=600)
    encoder.save(target)
    return facts


def long_texts(texts):
    """Of 3 to about 110 words."""
    return [texts[0].text, " ".join(one.text for one in texts[:12]), " ".join(one.text for one in texts[20:40])[:420]]


def read_at(source, texts, factor, way):
    """Mean token vectors at unit length by transformers alone, each token at a position of the old table; between two of them, with a
    row of their mixture that is written by hand."""
    transformer = SentenceTransformer(str(source), device="cpu")[0]
    model, kind = transformer.model.eval(), type(transformer.model).__name__.removesuffix("Model")
    table, first = model.embeddings.position_embeddings, FIRST[kind]
    old, found = table.weight.detach().clone(), []
    for text in texts:
        ids = transformer.tokenizer(text, return_tensors="pt", truncation=False)["input_ids"]
        counted = ids[0] != first - 1  # MPNet's padding id is a word of this tokenizer, and stays at the padding's position
        places = torch.where(counted, counted.cumsum(0) + first - 1, first - 1)[None]
        hand = torch.zeros(first + ids.shape[1], 16)
        hand[:first] = old[:first]
        for i in range(int(counted.sum())):
            at = i % (PLACES - first) if way == "recurrent" else i // factor
            hand[first + i] = old[first + at]
            if way == "interpolated" and first + at + 1 < PLACES:
                hand[first + i] += (i / factor - at) * (old[first + at + 1] - old[first + at])
        model.embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(hand)
        given = {"position_ids": places, "attention_mask": torch.ones_like(ids)}
        if kind != "MPNet":
            given["token_type_ids"] = torch.zeros_like(ids)
        with torch.no_grad():
            vector = model(input_ids=ids, **given).last_hidden_state[0].mean(0)
        found.append((vector / vector.norm()).numpy())
    return np.stack(found)


@pytest.mark.parametrize("way", ["recurrent", "grouped", "interpolated"])
@pytest.mark.parametrize("kind", ["Bert", "MPNet", "Roberta"])
def test_long_texts_are_read_with_the_positions_that_were_asked_for(model_of, texts, tmp_path, kind, way):
    source, given = model_of(kind), long_texts(texts)
    facts = derived(source, tmp_path / "long", 3, way)
    places = PLACES - FIRST[kind]
    assert facts["positions"] == 3 * places
    expected = read_at(source, given, 3, way)
    ours = Encoder.load(tmp_path / "long").encode(given, max_length_tokens=None, batch_tokens=600, title="")
    theirs = SentenceTransformer(str(tmp_path / "long"), device="cpu").encode(given, show_progress_bar=False)
    np.testing.assert_allclose(ours, expected, atol=CLOSE, rtol=0)
    np.testing.assert_allclose(theirs, expected, atol=CLOSE, rtol=0)
    cut = Encoder.load(source).encode(given, max_length_tokens=None, batch_tokens=600, title="")
    assert np.abs(cut[1:] - expected[1:]).max() > 100 * CLOSE  # longer than the source reads
    if way == "recurrent":
        np.testing.assert_allclose(cut[0], expected[0], atol=CLOSE, rtol=0)


def test_the_directory_says_how_long_its_texts_may_be(model_of, tmp_path):
    derived(model_of("MPNet"), tmp_path / "long", 3, "grouped")
    assert read_json(tmp_path / "long/config.json")["max_position_embeddings"] == 2 + 3 * 62
    assert (
        Encoder.load(tmp_path / "long").max_length_tokens == SentenceTransformer(str(tmp_path / "long")).max_seq_length == 186
    )


@pytest.mark.parametrize("way", ["recurrent", "grouped", "interpolated"])
@pytest.mark.parametrize("kind", ["Bert", "MPNet"])
def test_a_factor_of_1_leaves_every_byte(model_of, tmp_path, kind, way):
    source = model_of(kind)
    Encoder.load(source).save(tmp_path / "same")
    derived(source, tmp_path / "long", 1, way)
    assert sha256(tmp_path / "long") == sha256(tmp_path / "same")
    assert weights_hash(tmp_path / "long") == weights_hash(source)


def test_rows_by_hand():
    table = torch.tensor([[0.0], [4.0], [6.0]])
    assert stretched(table, 2, "recurrent")[:, 0].tolist() == [0, 4, 6, 0, 4, 6]
    assert stretched(table, 2, "grouped")[:, 0].tolist() == [0, 0, 4, 4, 6, 6]
    assert stretched(table, 2, "interpolated")[:, 0].tolist() == [0, 2, 4, 5, 6, 6]


@pytest.mark.parametrize("kind", ["ModernBert", "Qwen3"])
def test_a_rotary_model_is_refused_by_name(model_of, tmp_path, kind):
    with pytest.raises(ValueError, match=f"{kind}Model has 0 tables of absolute positions"):
        derived(model_of(kind), tmp_path / "long", 2, "grouped")


def test_a_table_of_words_has_no_positions(model_of, tmp_path):
    words = SentenceTransformer(str(model_of("Bert")), device="cpu").tokenizer
    torch.manual_seed(0)
    table = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
    table.save(str(tmp_path / "table"), create_model_card=False)
    with pytest.raises(ValueError, match="no transformer, so it has no positions"):
        derived(tmp_path / "table", tmp_path / "long", 2, "grouped")


@pytest.mark.parametrize(
    ("values", "told"),
    [({"factor": 0}, "factor must be 1"), ({"way": "group"}, "way must be one of recurrent, grouped, interpolated")],
)
def test_what_cannot_be_asked_for_is_told(values, told):
    with pytest.raises(ValueError, match=told):
        Positions(**{"factor": 2, "way": "grouped"} | values)
