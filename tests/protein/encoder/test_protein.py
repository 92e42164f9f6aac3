"""Protein language models: tiny ones of the published classes, with random weights and tokenizers of the published kinds."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from pipeline.encoder.encoder import Encoder
from pipeline.protein.encoder.esm_scratch import EsmScratchBackbone
from pipeline.protein.encoder.protein import ProteinBackbone
from pipeline.protein.encoder.residues import ESM, as_residues, esm_tokenizer

CHAINS = ["MKVLAAGW", "ACDEFGHIKLMNPQRSTVWY", "MKV:GHT", "MUZOBX"]
LIMITS = {"max_length_tokens": 64, "batch_tokens": 200, "title": ""}


@pytest.fixture
def esm2(tmp_path):
    """A folder as the Hub has it: masked-language model, EsmTokenizer."""
    (tmp_path / "vocab.txt").write_text("\n".join(ESM))
    tokenizer = EsmTokenizer(str(tmp_path / "vocab.txt"))
    config = EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, pad_token_id=1,
        mask_token_id=32, position_embedding_type="rotary", max_position_embeddings=1026, token_dropout=True,
        emb_layer_norm_before=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = EsmForMaskedLM(config).eval()
    model.save_pretrained(tmp_path / "esm2")
    tokenizer.save_pretrained(tmp_path / "esm2")
    return tmp_path / "esm2", model, tokenizer


def t5(folder, *, piece, letters):
    """``piece``: what stands before a letter in the vocabulary, ``▁`` in ProtT5, nothing in Ankh."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *(piece + letter for letter in letters)])}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=fast, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    return folder, model, vocabulary


def round_trip(encoder, folder):
    encoder.save(folder)
    np.testing.assert_array_equal(Encoder.load(folder).encode(CHAINS, **LIMITS), encoder.encode(CHAINS, **LIMITS))
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(CHAINS, batch_size=1)
    np.testing.assert_allclose(theirs, encoder.encode(CHAINS, **LIMITS), atol=1e-6)  # rounding of fp32 in other batches


def test_chains_of_esm_stand_between_ends(esm2):
    _, _, published = esm2
    ours = esm_tokenizer()
    assert (
        ours("MKVLAAGW")["input_ids"] == published("MKVLAAGW")["input_ids"] == as_residues(published)("MKVLAAGW")["input_ids"]
    )
    assert ours.decode(ours("MKV:GHT")["input_ids"]) == "<cls> M K V <eos> G H T <eos>"
    assert ours("MK V")["input_ids"] == ours("MKV")["input_ids"]
    assert ours.convert_ids_to_tokens(ours("J*")["input_ids"]) == ["<cls>", "X", "<unk>", "<eos>"]  # J is no residue of ESM


def test_esm2_of_the_hub_gives_the_vectors_of_its_own_classes(esm2, tmp_path):
    folder, model, published = esm2
    encoder = Encoder(ProteinBackbone(name=str(folder), revision=None)([]), max_length_tokens=2000)
    with torch.no_grad():
        hidden = model.esm(**published("MKVLAAGW", return_tensors="pt")).last_hidden_state[0]
    expected = torch.nn.functional.normalize(hidden.mean(0), dim=0)
    np.testing.assert_allclose(encoder.encode(["MKVLAAGW"], **LIMITS, unit=True)[0], expected, atol=1e-6)
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]
    round_trip(encoder, tmp_path / "saved")


@pytest.mark.parametrize(("piece", "letters"), [("▁", "ALGVSREDTIPKFQNYMHWCX"), ("", "ALGVSREDTIPKFQNYMHWCXBOUZ")])
def test_prot_t5_and_ankh_give_the_vectors_of_their_own_classes_without_a_decoder(tmp_path, piece, letters):
    folder, model, vocabulary = t5(tmp_path / "t5", piece=piece, letters=letters)
    read = ProteinBackbone(name=str(folder), revision=None)([])
    tokenizer = read.tokenizer
    unknown = "X" if piece else None  # ProtT5 has no letter for U, Z, O and B
    wanted = [vocabulary[piece + (unknown if unknown and letter in "UZOB" else letter)] for letter in "MUZOBX"]
    assert tokenizer("MUZOBX")["input_ids"] == [*wanted, 1]
    assert tokenizer("MK:V")["input_ids"] == [*(vocabulary[piece + letter] for letter in "MK"), 1, vocabulary[piece + "V"], 1]
    encoder = Encoder(read, max_length_tokens=2000)
    ids = torch.tensor([tokenizer("MKVLAAGW")["input_ids"]])
    with torch.no_grad():
        hidden = model.encoder(input_ids=ids).last_hidden_state[0]
    expected = torch.nn.functional.normalize(hidden.mean(0), dim=0)
    np.testing.assert_allclose(encoder.encode(["MKVLAAGW"], **LIMITS, unit=True)[0], expected, atol=1e-6)
    assert not [name for name, _ in encoder.named_parameters() if "decoder" in name]
    round_trip(encoder, tmp_path / "saved")


def test_a_text_encoder_is_no_protein_language_model(tiny_encoder, tmp_path):
    tiny_encoder().save(tmp_path / "text")
    with pytest.raises(ValueError, match=r"names no eos token; expected a protein language model"):
        ProteinBackbone(name=str(tmp_path / "text"), revision=None)([])


def test_a_small_esm_of_our_own_is_read_everywhere(tmp_path):
    scratch = EsmScratchBackbone(width=16, layers=2, heads=2, intermediate=32, dropout=0.0)
    torch.manual_seed(0)
    encoder = Encoder(scratch([]), max_length_tokens=1024)
    assert encoder.backbone.config._attn_implementation == "sdpa"
    alone, together = encoder.encode(["MKV"], **LIMITS), encoder.encode(["MKV", "ACDEFGHIKLMNPQRSTVWY"], **LIMITS)
    np.testing.assert_allclose(alone[0], together[0], atol=1e-6)  # padding
    long = "MKV" * 900
    assert len(encoder.token_ids([long], 5000)[0]) == 1024
    round_trip(encoder, tmp_path / "saved")


def test_rotary_positions_need_an_even_width_of_each_head():
    with pytest.raises(ValueError, match="multiple of heads, and even for each"):
        EsmScratchBackbone(width=6, layers=1, heads=2, intermediate=8, dropout=0.0)
