import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.adapter.lora import LoRA, adapt
from pipeline.encoder.encoder import Encoder

SETTINGS = {"rank": 2, "alpha": 4, "dropout": 0.0, "targets": "all-linear"}
NODE = {"_target_": "pipeline.adapter.lora.LoRA"} | SETTINGS
TEXTS = ["the cat sat on a mat", "a dog"]


def encode(encoder):
    return encoder.encode(TEXTS, max_length_tokens=12, batch_tokens=1000, title="")


def trained(encoder):
    """Two steps of the adapter: the first of its matrices starts at zero and moves only in the second."""
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        encoder(*encoder.padded(encoder.token_ids(TEXTS, 12)))[:, 0].sum().backward()
        optimizer.step()
    return encoder


@pytest.fixture
def adapted(tiny_encoder):
    encoder = tiny_encoder()
    encoder.adapter = NODE
    adapt(encoder)
    return encoder


def test_an_adapter_starts_without_effect_and_alone_is_trained(tiny_encoder, adapted):
    np.testing.assert_array_equal(encode(adapted), encode(tiny_encoder()))
    learns = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert learns
    assert all("lora_" in name for name in learns)
    assert adapted.width == 16
    before = {name: p.clone() for name, p in adapted.named_parameters()}
    trained(adapted)
    moved = {name for name, p in adapted.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in learns if "pooler" not in name}


def test_a_saved_adapter_is_dense_weights_that_give_the_same_vectors(tiny_encoder, adapted, tmp_path):
    vectors = encode(trained(adapted))
    assert np.abs(vectors - encode(tiny_encoder())).max() > 0.01
    adapted.save(tmp_path / "expert")
    np.testing.assert_allclose(encode(adapted), vectors, atol=1e-6)
    np.testing.assert_allclose(encode(Encoder.load(tmp_path / "expert")), vectors, atol=1e-6)
    tiny_encoder().save(tmp_path / "base")
    expert, base = (load_file(tmp_path / name / "model.safetensors") for name in ("expert", "base"))
    assert {k: v.shape for k, v in expert.items()} == {k: v.shape for k, v in base.items()}
    changed = {name: torch.linalg.matrix_rank(expert[name] - base[name], atol=1e-5) for name in base if base[name].ndim == 2}
    assert {int(rank) for rank in changed.values()} == {0, 2}
    assert "peft" not in json.dumps(json.loads((tmp_path / "expert/config.json").read_text()))


def test_the_next_training_finds_the_adapter_in_the_directory(adapted, tmp_path):
    trained(adapted).save(tmp_path / "base")
    loaded = Encoder.load(tmp_path / "base")
    assert not [name for name, _ in loaded.named_parameters() if "lora_" in name]
    adapt(loaded)
    assert [name for name, p in loaded.named_parameters() if p.requires_grad and "lora_" in name]


def test_without_an_adapter_nothing_is_put_on(tiny_encoder):
    encoder = tiny_encoder()
    adapt(encoder)
    assert all(p.requires_grad for p in encoder.parameters())


def test_a_layer_that_is_not_there_is_named(tiny_encoder):
    encoder = tiny_encoder()
    encoder.adapter = NODE | {"targets": ["q_proj"]}
    with pytest.raises(ValueError, match=r"encoder.adapter.targets \['q_proj'\]"):
        adapt(encoder)


@pytest.mark.parametrize(
    ("changes", "message"), [({"rank": 0}, "got 0 and 4"), ({"alpha": 0}, "got 2 and 0"), ({"dropout": 1.0}, "got 1.0")]
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LoRA(**SETTINGS | changes)
