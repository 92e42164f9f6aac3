"""Binding partners by contrast: the phase of the catalogue, a small ESM, and pairs that share their rarest residue."""

import random

import hydra
import numpy as np
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from pipeline.corpus.row import Row, teaches
from pipeline.params import _register_resolvers
from pipeline.training.fit import fit

RUNTIME = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "tracker": "disabled", "project": "t", "kept_tokens": 8192,
    "batch_tokens": 512, "return_memory": False, "checkpoint_every_steps": 1000, "checkpoint_every_minutes": 5,
    "similarities_at_once": 1_000_000,
}  # fmt: skip


def phase(root):
    _register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(root / "conf"), version_base="1.3"):
        choices = ["encoder=esm_scratch", "+phase@pretrain.phases.partners=partners"]
        found = OmegaConf.to_container(hydra.compose("config", overrides=choices), resolve=True)["pretrain"]["phases"][
            "partners"
        ]
    return {key: value for key, value in found.items() if key not in ("order", "mine", "corpora")}


def test_partners_come_to_lie_near_each_other(root, encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    rows = []
    for i in range(96):
        one, other = ("".join(draw.choices("ACDEFGHIKL", k=12)) + "MNPQRSTVWY"[i % 10] * 4 for _ in range(2))
        rows.append(Row("partners", f"a{i}", one, f"b{i}", other))
    assert all(map(teaches, rows))
    training = phase(root)
    training |= {"steps_per_task": 60, "max_length_tokens": 32, "optimizer": training["optimizer"] | {"lr": 0.01}}
    training["tasks"]["partners"]["batch_size"] = 8
    one = encoder()
    limits = {"max_length_tokens": 32, "batch_tokens": 512, "title": ""}

    def found():
        """Whether a query's nearest document is of its kind, of the last twenty pairs."""
        left, right = (one.encode([getattr(row, side) for row in rows[-20:]], **limits) for side in ("query", "document"))
        nearest = (left @ right.T).argmax(1)
        return float(np.mean([rows[-20 + i].document[-1] == rows[-20 + j].document[-1] for i, j in enumerate(nearest)]))

    before = found()
    fit(
        one,
        {"partners": rows[:76]},
        {},
        training,
        RUNTIME,
        seed=0,
        name="partners",
        inputs={},
        held_out={"partners": []},
        known={"train": rows[:76], "validation": []},
        snapshots=None,
    )
    assert found() > max(0.6, before)
