"""A model cut to n layers gives what the whole model has after n layers."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding

from pipeline.checkpoint import read_json
from pipeline.derivation.shallow import Shallow
from pipeline.encoder.encoder import Encoder
from pipeline.weights import Weights

CLOSE = 1e-5  # float32 in batches of other shapes
LAST_NORM = {"Qwen3": "norm", "ModernBert": "final_norm"}  # what these have behind their blocks


def derived(source, target, **values):
    encoder = Encoder.load(source)
    facts = Shallow(**{"layers": None, "dims": None} | values).derive(encoder, [], batch_tokens=60)
    encoder.save(target)
    return facts


def after_layers(source, number, texts):
    """The mean token vector after ``number`` layers, by transformers alone."""
    transformer = SentenceTransformer(str(source), device="cpu")[0]
    words = transformer.tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
    with torch.no_grad():
        hidden = transformer.model.eval()(**words, output_hidden_states=True).hidden_states[number]
        if name := LAST_NORM.get(type(transformer.model).__name__.removesuffix("Model")):
            hidden = getattr(transformer.model, name)(hidden)
    mask = words["attention_mask"][..., None].float()
    return ((hidden * mask).sum(1) / mask.sum(1)).numpy()


@pytest.mark.parametrize("dims", [None, 5])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["Bert", "MPNet", "ModernBert", "Qwen3"])
def test_vectors_are_those_of_the_hidden_state_after_that_many_layers(model_of, texts, tmp_path, kind, layers, dims):
    source, given = model_of(kind), sorted({one.text for one in texts})[:20]
    facts = derived(source, tmp_path / "cut", layers=layers, dims=dims)
    expected = after_layers(source, layers, given)[:, :dims]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    ours = Encoder.load(tmp_path / "cut").encode(given, max_length_tokens=64, batch_tokens=60, title="")
    theirs = SentenceTransformer(str(tmp_path / "cut"), device="cpu").encode(given, show_progress_bar=False)
    np.testing.assert_allclose(ours, expected, atol=CLOSE, rtol=0)
    np.testing.assert_allclose(theirs, expected, atol=CLOSE, rtol=0)
    assert (facts["layers"], facts["dims"]) == (layers, dims or 16)


def test_weights_of_the_other_layers_are_gone_and_the_config_says_so(model_of, tmp_path):
    source = model_of("ModernBert")
    facts = derived(source, tmp_path / "cut", layers=1)
    names = Weights(tmp_path / "cut").places
    assert names
    assert not [name for name in names if name.startswith(("layers.1.", "layers.2."))]
    config = read_json(tmp_path / "cut/config.json")
    assert (config["num_hidden_layers"], len(config["layer_types"])) == (1, 1)
    assert facts["weights_kept"] < 0.7


def test_fewer_numbers_come_at_unit_length_whatever_the_model_ends_in(model_of, texts, tmp_path):
    source, given = model_of("Bert", Dense(16, 12)), [texts[0].text]
    whole = Encoder.load(source)
    derived(source, tmp_path / "cut", dims=4)
    cut = Encoder.load(tmp_path / "cut")
    assert [type(module) for module in cut.model][-1] is Normalize
    one, other = (e.encode(given, max_length_tokens=64, batch_tokens=60, title="") for e in (whole, cut))
    np.testing.assert_allclose(other, one[:, :4] / np.linalg.norm(one[:, :4]), atol=CLOSE, rtol=0)


def test_a_model_whose_blocks_are_not_found_is_refused_by_name(model_of, tmp_path):
    with pytest.raises(ValueError, match="AlbertModel: expected one list of 3 blocks, found 0"):
        derived(model_of("Albert"), tmp_path / "cut", layers=1)


def test_a_table_has_no_layers(model_of, tmp_path):
    words = SentenceTransformer(str(model_of("Bert")), device="cpu").tokenizer
    torch.manual_seed(0)
    table = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
    table.save(str(tmp_path / "table"), create_model_card=False)
    with pytest.raises(ValueError, match="no transformer, so it has no layers"):
        derived(tmp_path / "table", tmp_path / "cut", layers=1)
    assert derived(tmp_path / "table", tmp_path / "cut", dims=3)["dims"] == 3


@pytest.mark.parametrize(("values", "words"), [({"layers": 4}, "BertModel has 3"), ({"dims": 17}, "vectors have 16 numbers")])
def test_more_than_the_model_has_cannot_be_kept(model_of, tmp_path, values, words):
    with pytest.raises(ValueError, match=words):
        derived(model_of("Bert"), tmp_path / "cut", **values)


@pytest.mark.parametrize(("values", "words"), [({}, "both null"), ({"layers": 0}, "1 or more"), ({"dims": -1}, "1 or more")])
def test_what_keeps_all_or_nothing_is_refused(tmp_path, values, words):
    with pytest.raises(ValueError, match=words):
        Shallow(**{"layers": None, "dims": None} | values)
