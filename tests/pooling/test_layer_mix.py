"""The mix of layers against a sum written out, in an encoder, on disk, in sentence-transformers alone and in ONNX."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from pipeline.derivation.shallow import Shallow
from pipeline.encoder.encoder import Encoder
from pipeline.form.onnx import Onnx
from pipeline.objective.infonce import InfoNCE
from pipeline.objective.matryoshka_2d import Matryoshka2D
from pipeline.pooling.layer_mix import layer_mix
from pipeline.training.checks import check_encoder

TEXTS = ["the cat sat on a mat", "a dog", "sum of all numbers over rows"]
LIMITS = {"max_length_tokens": 12, "batch_tokens": 256, "title": ""}


def node(**changes):
    return {"_target_": "pipeline.pooling.layer_mix.layer_mix", "start": "even", "pooled": "mean"} | changes


def mixed(encoder):
    return encoder.model[1]


def by_hand(encoder, weights, text):
    """One text, one layer and one token at a time, in float64."""
    (ids,) = encoder.token_ids([text], None)
    with torch.no_grad():
        states = encoder.backbone(torch.tensor([ids]), output_hidden_states=True).hidden_states
    assert len(states) == len(weights) == 3  # the input embeddings, two blocks
    total = torch.zeros(16, dtype=torch.float64)
    for weight, state in zip(weights, states, strict=True):
        for token in state[0]:
            total += weight / sum(weights) * token.double() / len(ids)
    return F.normalize(total, dim=0)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.7, 0.1, 1.5], [-0.5, 1.0, 2.0]])
def test_the_vector_is_the_mean_over_tokens_of_the_weighted_layers(tiny_encoder, weights):
    encoder = tiny_encoder(node()).eval()
    mixed(encoder).layer_weights.data = torch.tensor(weights)
    found = encoder.encode(TEXTS, **LIMITS)
    expected = torch.stack([by_hand(encoder, weights, text) for text in TEXTS])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("pooled", ["mean", "cls", "max"])
def test_weight_on_the_last_layer_alone_is_the_pooling_to_the_bit(tiny_encoder, pooled):
    plain = tiny_encoder({"_target_": "pipeline.pooling.standard.standard", "mode": pooled}).encode(TEXTS, **LIMITS)
    last = tiny_encoder(node(start="last", pooled=pooled))
    np.testing.assert_array_equal(last.encode(TEXTS, **LIMITS), plain)
    assert not np.allclose(tiny_encoder(node(pooled=pooled)).encode(TEXTS, **LIMITS), plain, atol=1e-4)


@pytest.mark.parametrize(("start", "weights"), [("even", [1, 1, 1]), ("last", [0, 0, 1]), ("first_last", [1, 0, 1])])
def test_where_the_weights_start(start, weights):
    assert layer_mix(16, 2, start=start, pooled="mean")[0].layer_weights.tolist() == weights


def test_every_layer_gets_a_gradient_in_training_and_the_weights_too(tiny_encoder):
    encoder = tiny_encoder(node(start="last"))
    ids, mask = encoder.padded(encoder.token_ids(TEXTS, None))
    encoder(ids, mask)[:, 0].sum().backward()
    assert (
        mixed(encoder).layer_weights.grad[:2] != 0
    ).all()  # those that count nothing so far; the only one that counts has no rival
    assert "1_WeightedLayerPooling/layer_weights" in encoder.weights()


def test_it_is_saved_as_modules_of_sentence_transformers_and_loads_without_this_package(tiny_encoder, tmp_path):
    encoder = tiny_encoder(node())
    mixed(encoder).layer_weights.data = torch.tensor([0.7, 0.1, 1.5])
    expected = encoder.encode(TEXTS, **LIMITS)
    encoder.save(tmp_path / "model")
    modules = json.loads((tmp_path / "model/modules.json").read_text())
    assert all(module["type"].startswith("sentence_transformers.") for module in modules)
    kept = load_file(tmp_path / "model/1_WeightedLayerPooling/model.safetensors")
    assert kept["layer_weights"].tolist() == pytest.approx([0.7, 0.1, 1.5])
    np.testing.assert_array_equal(Encoder.load(tmp_path / "model").encode(TEXTS, **LIMITS), expected)
    program = (
        "import sys; sys.modules['pipeline'] = None\n"
        "import json; from sentence_transformers import SentenceTransformer\n"
        f"model = SentenceTransformer({str(tmp_path / 'model')!r}, device='cpu', local_files_only=True)\n"
        f"print(json.dumps(model.encode({TEXTS!r}, show_progress_bar=False).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), expected, atol=1e-6)


def test_a_prompt_that_is_not_pooled_stays_out_of_the_mix(tiny_encoder, tmp_path):
    encoder = tiny_encoder(node())
    encoder.prompts = {"pooled": False, "texts": {"retrieval": {"query": "rows: "}}}
    encoder.save(tmp_path / "model")
    found = encoder.encode(TEXTS, **LIMITS, task="retrieval", side="query")
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(theirs.encode(TEXTS, prompt_name="retrieval_query", show_progress_bar=False), found, atol=1e-6)


def test_its_onnx_file_gives_the_same_vectors(tiny_encoder, tmp_path):
    encoder = tiny_encoder(node()).eval()
    expected = encoder.encode(TEXTS, **LIMITS)
    encode = Onnx(tolerance=1e-4).make(encoder, tmp_path, None, max_length_tokens=12)
    np.testing.assert_allclose(encode(TEXTS, "query", "retrieval"), expected, atol=1e-5)


def test_what_needs_one_layer_after_the_other_is_refused(tiny_encoder):
    encoder = tiny_encoder(node())
    with pytest.raises(ValueError, match="a mix of all its layers, so none can be cut off"):
        Shallow(layers=1, dims=None).derive(encoder, [], batch_tokens=64)
    cuts = {"dims": [1.0], "coefficients": None, "dims_at_once": None, "layers_at_once": 1, "kl_temperature": 0.3}
    objective = Matryoshka2D(objective=InfoNCE(temperature=0.05, symmetric=False, same_side=[]), **cuts, move_last=False)
    with pytest.raises(ValueError, match="train-x, task a: Matryoshka2D looks at the vectors after each block"):
        check_encoder("train-x", {"max_length_tokens": 12}, {"a": objective}, encoder)
    ids, mask = encoder.padded(encoder.token_ids(TEXTS, None))
    with pytest.raises(ValueError, match="a model that mixes its layers"):
        encoder(ids, mask, layers=True)
    with pytest.raises(ValueError, match="the model mixes them already"):
        Encoder(encoder.model, pooling=node())
    with pytest.raises(ValueError, match="and the model has none"):
        layer_mix(16, 0, start="even", pooled="mean")


def test_a_mix_of_copies_of_the_last_layer_is_the_last_layer(tiny_encoder):
    """The negative control of the mix: copies of one layer say nothing new, whatever their weights."""
    mix, pooling = layer_mix(16, 2, start="even", pooled="mean")
    hidden = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 4, dtype=torch.int64)
    mix.layer_weights.data = torch.tensor([0.3, 2.0, 0.9])
    given = {"token_embeddings": hidden, "attention_mask": mask, "all_layer_embeddings": (hidden,) * 3}
    plain = pooling({"token_embeddings": hidden, "attention_mask": mask})["sentence_embedding"]
    torch.testing.assert_close(pooling(mix(given))["sentence_embedding"], plain)
