"""A head of another width, through training, merge, save and load."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Dense

import pipeline.training.fit as fitting
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.projection.dense import dense
from pipeline.stage.merge import merge_directories
from pipeline.training.optimizer import adamw

WORDS = ["cat", "dog", "mat", "park", "sat", "ran"]
ROWS = [Row("retrieval", f"q{i}", f"{one} cat", f"d{i}", f"{one} dog") for i, one in enumerate(WORDS)]
LIMITS = {"max_length_tokens": 12, "batch_tokens": 64, "title": ""}
TEXTS = ["the cat sat", "rolling window over rows", "sum"]
INFONCE = {"_target_": "pipeline.objective.infonce.InfoNCE", "temperature": 0.05, "symmetric": False, "same_side": []}
TRAINING = {
    "tasks": {"retrieval": {
        "objective": INFONCE, "view": {"_target_": "pipeline.view.rows.Rows"}, "batch_size": 6, "negatives": "gathered",
        "num_positives": 1, "num_negatives": 0, "turns": 1.0, "teachers": {}, "shuffle_documents": False,
    }},
    "batches": "single", "turns": "uniform", "turns_temperature": 1.0, "by_length": False,
    "steps_per_task": 3, "budget_minutes": None, "best": None, "warmup": 0.0,
    "max_length_tokens": 12, "precision": "32-true", "chunk_tokens": 64, "gradient_clip": 1.0, "on_nonfinite": "stop",
    "early_stop": None,
    "optimizer": {"_target_": "pipeline.training.optimizer.adamw", "lr": 0.01, "weight_decay": 0.1, "betas": [0.9, 0.99],
    "layer_decay": 1.0},
}  # fmt: skip
RUNTIME = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "tracker": "disabled", "project": "t", "kept_tokens": 64,
    "batch_tokens": 64, "return_memory": False, "checkpoint_every_steps": 9, "checkpoint_every_minutes": 5, "similarities_at_once": 64,
}  # fmt: skip


def with_head(plain, width=6, **changes):
    node = {"_target_": "pipeline.projection.dense.dense", "width": width, "bias": False, "activation": "none"} | changes
    torch.manual_seed(1)
    return Encoder(plain.model, projection=node)


def test_it_stands_before_what_normalises_and_gives_the_vectors_its_width(tiny_encoder):
    plain = tiny_encoder().eval()
    before = torch.from_numpy(plain.encode(TEXTS, **LIMITS))
    encoder = with_head(plain)
    assert [type(module).__name__ for module in encoder.model][1:] == ["Pooling", "Dense", "Normalize"]
    assert (encoder.width, encoder.trunk_width, encoder.normalizes) == (6, 16, True)
    found = torch.from_numpy(encoder.encode(TEXTS, **LIMITS))
    weight = encoder.model[2].linear.weight.detach()
    torch.testing.assert_close(found, torch.nn.functional.normalize(before @ weight.T, dim=-1), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight @ weight.T, torch.eye(6), atol=1e-5, rtol=0)


def test_a_head_as_wide_as_the_backbone_leaves_cosines_as_they_are(tiny_encoder):
    plain = tiny_encoder().eval()
    before = plain.encode(TEXTS, **LIMITS)
    found = with_head(plain, width=16).encode(TEXTS, **LIMITS)
    np.testing.assert_allclose(found @ found.T, before @ before.T, atol=1e-5)


def test_behind_a_model_that_does_not_normalise_it_is_the_last_module(tiny_encoder):
    plain = tiny_encoder()
    del plain.model[2]
    assert not any(isinstance(module, Normalize) for module in plain.model)
    encoder = with_head(Encoder(plain.model), activation="tanh", bias=True)
    assert isinstance(encoder.model[-1], Dense)
    assert not encoder.normalizes
    assert (np.abs(encoder.encode(TEXTS, **LIMITS)) < 1).all()


def test_it_is_trained_saved_loaded_and_merged_with_the_rest(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = with_head(tiny_encoder())
    encoder.save(tmp_path / "base")
    start = {name: weight.detach().clone() for name, weight in encoder.weights().items()}
    curve = fitting.fit(
        encoder, {"retrieval": ROWS}, {}, TRAINING, RUNTIME, seed=0, name="x", inputs={}, held_out={},
        known={"train": [], "validation": []}, snapshots=None,
    ).curve  # fmt: skip
    assert len(curve) == 3
    moved = {name for name, weight in encoder.weights().items() if not torch.equal(weight, start[name])}
    assert "2_Dense/linear.weight" in moved
    encoder.save(tmp_path / "expert")
    vectors = encoder.encode(TEXTS, **LIMITS)
    loaded = Encoder.load(tmp_path / "expert")
    assert loaded.width == 6
    np.testing.assert_allclose(loaded.encode(TEXTS, **LIMITS), vectors, atol=1e-6)
    theirs = SentenceTransformer(str(tmp_path / "expert"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(theirs.encode(TEXTS), vectors, atol=1e-5)
    section = {
        "method": {"_target_": "pipeline.merging.soup.Soup", "weights": []},
        "probe": None,
        "snapshots": False,
        "max_distance": 9.0,
    }
    folders = [tmp_path / "expert", tmp_path / "base"]
    merge_directories(tmp_path / "base", folders, ["base", "one", "two"], section, tmp_path / "merged", runtime={}, seed=0)
    heads = [load_file(place / "2_Dense/model.safetensors")["linear.weight"] for place in (*folders, tmp_path / "merged")]
    torch.testing.assert_close(heads[2], (heads[0] + heads[1]) / 2, atol=1e-6, rtol=0)
    assert Encoder.load(tmp_path / "merged").width == 6


def test_its_weight_is_decayed_and_its_bias_is_not():
    head = dense(8, width=3, bias=True, activation="none")
    assert not head.linear.bias.any()
    optimizer = adamw(
        dict(head.named_parameters()), {"linear.weight"}, lr=0.1, weight_decay=0.5, betas=[0.9, 0.99], layer_decay=1.0
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]


def test_a_width_of_nothing_is_refused():
    from pipeline.build import check_node

    node = {"_target_": "pipeline.projection.dense.dense", "width": 0, "bias": False, "activation": "none"}
    with pytest.raises(ValueError, match=r"encoder\.projection\.width: expected .* got 0"):
        check_node(node, "encoder.projection")
