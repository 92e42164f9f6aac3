"""Weights kept along a training, and merged along it, on the tiny workspace."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pipeline.checkpoint import sha256
from pipeline.encoder.encoder import Encoder
from pipeline.training.contrastive import ContrastiveModule

INPUTS = ("checkpoints/base", "data/curated", "data/mined", "data/config.yaml")
KEPT = {"snapshots": {"every_steps": 1, "last": 2}}
EXPERT = "checkpoints/experts/sts"


@pytest.fixture
def trained(copied, run):
    """A workspace whose two experts kept snapshots of their last steps but one."""
    folder = copied(*INPUTS, "conf", "checkpoints/experts", train={"sts": KEPT, "retrieval": KEPT})
    for name in ("sts", "retrieval"):
        assert run(folder, "train", name) == 0
    return folder


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_snapshots_are_the_weights_of_their_steps_and_the_training_ends_as_without(copied, run, finished, monkeypatch):
    folder = copied(*INPUTS, train={"sts": KEPT})
    step, seen = ContrastiveModule.training_step, {}

    def watched(self, batch, batch_idx):
        seen[self.global_step] = {name: value.clone() for name, value in self.encoder.backbone.state_dict().items()}
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastiveModule, "training_step", watched)
        assert run(folder, "train", "sts") == 0
    snapshots = folder / EXPERT / "snapshots"
    assert sorted(path.name for path in snapshots.iterdir()) == ["2", "3"]
    for at in (2, 3):
        found = weights(snapshots / str(at))
        assert all(found[name].equal(value) for name, value in seen[at].items() if name in found)
        assert json.loads((snapshots / str(at) / "provenance.json").read_text())["config"]["step"] == at
        assert Encoder.load(snapshots / str(at)).width == 16
    assert sha256(folder / EXPERT / "model.safetensors") == sha256(finished / EXPERT / "model.safetensors")
    assert not list((folder / "data/runs").iterdir())


def test_a_training_that_was_stopped_keeps_the_snapshots_of_before(copied, run, trained, tmp_path, monkeypatch):
    before = {at: sha256(trained / EXPERT / f"snapshots/{at}") for at in (2, 3)}
    (trained / EXPERT).rename(tmp_path / "before")
    config = trained / "data/config.yaml"
    config.write_text(config.read_text().replace("checkpoint_every_steps: 200", "checkpoint_every_steps: 3"))
    step = ContrastiveModule.training_step

    def stopping(self, batch, batch_idx):
        if self.global_step == 3:
            raise RuntimeError("stopped")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastiveModule, "training_step", stopping)
        with pytest.raises(RuntimeError, match="stopped"):
            run(trained, "train", "sts")
    assert run(trained, "train", "sts") == 0
    assert {at: sha256(trained / EXPERT / f"snapshots/{at}") for at in (2, 3)} == before


def test_snapshots_count_as_experts_and_each_training_is_fused_by_itself_first(trained, run):
    words = ["merge", "--base", "checkpoints/base"]
    words += ["--expert", "checkpoints/experts/retrieval", "--expert", EXPERT, "merge.snapshots=true"]
    assert run(trained, *words, "merging=average", "merge.method.last=2", "merge.method.decay=0.5", "out=mean") == 0
    record = json.loads((trained / "mean/merge.json").read_text())
    assert record["experts"] == ["retrieval@2", "retrieval@3", "retrieval", "sts@2", "sts@3", "sts"]
    assert record["coefficients"]["all"] == pytest.approx([0, 1 / 6, 1 / 3, 0, 1 / 6, 1 / 3])
    assert f"{EXPERT}/snapshots/2" in json.loads((trained / "mean/provenance.json").read_text())["inputs"]
    parts = [(trained / f"checkpoints/experts/{name}", share) for name in ("retrieval", "sts") for share in (1 / 3, 1 / 6)]
    parts = [(path if share > 0.2 else path / "snapshots/3", share) for path, share in parts]
    for name, value in weights(trained / "mean").items():
        torch.testing.assert_close(value, sum(share * weights(path)[name] for path, share in parts), atol=1e-6, rtol=0)
    every = [path for name in ("retrieval", "sts") for path in _along(trained / f"checkpoints/experts/{name}")]
    by_hand = ["merge", "--base", "checkpoints/base", *(word for path in every for word in ("--expert", str(path)))]
    assert run(trained, *words, "merging=delta_guided", "out=known") == 0
    assert run(trained, *by_hand, "merging=delta_guided", "merge.method.trajectories=[3,3]", "out=told") == 0
    assert sha256(trained / "known/model.safetensors") == sha256(trained / "told/model.safetensors")


def _along(expert):
    return [expert / "snapshots/2", expert / "snapshots/3", expert]


def test_where_no_snapshots_were_kept_that_is_told(copied, run, capsys):
    folder = copied("checkpoints/base", "checkpoints/experts", "data/config.yaml", merge={"soup": {"snapshots": True}})
    assert run(folder, "merge", "soup") == 1
    assert "checkpoints/experts/retrieval holds no snapshots, and merge.snapshots is true" in capsys.readouterr().err
    assert not (folder / "checkpoints/merged").exists()


def test_more_snapshots_than_there_are_steps_are_refused_before_the_first(workspace, run, capsys):
    folder = workspace()
    page = folder / "params.yaml"
    page.write_text(page.read_text().replace("set:\n", "set:\n  train.sts.snapshots: {every_steps: 2, last: 2}\n"))
    assert run(folder, "compose") == 1
    assert "train.sts.snapshots: 2 of them, 2 steps apart, do not fit before the end of 4 steps" in capsys.readouterr().err


def test_snapshots_of_weights_that_are_taken_apart_are_refused(copied, run, capsys):
    folder = copied(*INPUTS, train={"sts": KEPT}, runtime={"strategy": "deepspeed_stage_2"})
    assert run(folder, "train", "sts") == 1
    assert "set runtime.strategy to auto or ddp, or snapshots to null" in capsys.readouterr().err
