"""A temperature written into weights gives what a softmax with that temperature gives."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from pipeline.checkpoint import sha256
from pipeline.derivation.temperature import Temperature, check_fold
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder

CLOSE = 1e-5  # float32 in batches of other shapes
SOFTMAX = torch.nn.functional.softmax


def derived(source, target, tau):
    encoder = Encoder.load(source)
    facts = Temperature(tau=tau).derive(encoder, [], batch_tokens=60)
    encoder.save(target)
    return facts


def softened(source, texts, tau, monkeypatch):
    """Mean token vectors at unit length by transformers alone, one text at a time, every softmax of (scores + bias) / tau."""
    transformer = SentenceTransformer(str(source), device="cpu")[0]
    transformer.model.set_attn_implementation("eager")
    found = []
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(torch.nn.functional, "softmax", lambda scores, **given: SOFTMAX(scores / tau, **given))
        for text in texts:
            ids = transformer.tokenizer(text, return_tensors="pt")["input_ids"]
            vector = transformer.model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0)
            found.append((vector / vector.norm()).numpy())
    return np.stack(found)


@pytest.mark.parametrize("tau", [0.7, 1.3])
@pytest.mark.parametrize("kind", ["Bert", "MPNet", "Roberta", "Albert", "ModernBert", "Qwen3", "Esm", "DebertaV2"])
def test_vectors_are_those_of_a_softmax_of_that_temperature(model_of, texts, tmp_path, monkeypatch, kind, tau):
    source, given = model_of(kind), sorted({one.text for one in texts})[:20]
    derived(source, tmp_path / "warm", tau)
    expected = softened(source, given, tau, monkeypatch)
    ours = Encoder.load(tmp_path / "warm").encode(given, max_length_tokens=64, batch_tokens=60, title="")
    theirs = SentenceTransformer(str(tmp_path / "warm"), device="cpu").encode(given, show_progress_bar=False)
    np.testing.assert_allclose(ours, expected, atol=CLOSE, rtol=0)
    np.testing.assert_allclose(theirs, expected, atol=CLOSE, rtol=0)
    assert np.abs(softened(source, given, 1.0, monkeypatch) - expected).max() > 100 * CLOSE


@pytest.mark.parametrize("kind", ["Bert", "MPNet", "ModernBert", "Qwen3"])
def test_a_temperature_of_1_leaves_every_byte(model_of, tmp_path, kind):
    source = model_of(kind)
    Encoder.load(source).save(tmp_path / "same")
    derived(source, tmp_path / "warm", 1.0)
    assert sha256(tmp_path / "warm") == sha256(tmp_path / "same")
    assert weights_hash(tmp_path / "warm") == weights_hash(source)


def test_only_queries_and_their_biases_are_divided(model_of, tmp_path):
    """Three layers of a BERT: a weight and a bias each."""
    source = model_of("Bert")
    before = {name: one.detach().clone() for name, one in Encoder.load(source).weights().items()}
    assert derived(source, tmp_path / "warm", 0.5) == {"tau": 0.5, "tensors": 6}
    for name, one in Encoder.load(tmp_path / "warm").weights().items():
        assert torch.equal(one, before[name] * (2 if ".query." in name else 1)), name


def test_a_model_whose_scores_are_not_linear_is_refused_by_name(model_of):
    """Scores that are bounded after the product, as Gemma 2 has them."""
    backbone = Encoder.load(model_of("Bert")).backbone
    backbone.encoder.layer[1].attention.self.query = torch.nn.Sequential(
        backbone.encoder.layer[1].attention.self.query, torch.nn.Tanh()
    )
    with pytest.raises(ValueError, match="BertModel: the temperature cannot be written into its weights"):
        check_fold(backbone)


def test_a_table_has_no_attention(model_of, tmp_path):
    words = SentenceTransformer(str(model_of("Bert")), device="cpu").tokenizer
    torch.manual_seed(0)
    table = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
    table.save(str(tmp_path / "table"), create_model_card=False)
    with pytest.raises(ValueError, match="no transformer, so it has no attention"):
        derived(tmp_path / "table", tmp_path / "warm", 0.8)
    assert not (tmp_path / "warm").exists()


@pytest.mark.parametrize("tau", [0, -1, 80])
def test_a_temperature_out_of_range_is_told(tau):
    with pytest.raises(ValueError, match=f"tau must lie between 0.05 and 20.*got {tau}; write 0.80 for 80 percent"):
        Temperature(tau=tau)
