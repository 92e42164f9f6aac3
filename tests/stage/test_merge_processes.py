"""A search by two processes over gloo finds the coefficients that one process finds."""

import csv
import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

INPUTS = ("checkpoints/base", "checkpoints/experts", "conf", "data/curated", "data/config.yaml")
WORDS = (
    "merge", "--base", "checkpoints/base", "--expert", "checkpoints/experts/retrieval", "--expert", "checkpoints/experts/sts",
    "merge.probe.pairs_per_task=10", "merge.probe.batch_size=5", "merge.probe.steps=6", "merge.probe.landscape=3",
    "runtime.accelerator=cpu", "runtime.threads=1", "runtime.tracker=disabled",
)  # fmt: skip
TOLERANCE = 1e-5  # fp32, sums taken in another order, through six steps


def merged(folder, root, out, *words):
    """By the command line, since further processes are started by running it again; its record and trajectory."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"):
        env.pop(name, None)
    command = [sys.executable, "-m", "pipeline", *WORDS, *words, f"out={out}"]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with (folder / out / "trajectory.csv").open(newline="") as file:
        points = [{key: float(value or "nan") for key, value in point.items()} for point in csv.DictReader(file)]
    return json.loads((folder / out / "merge.json").read_text()), points


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "strategies"),
    [("self_positioning", ("ddp", "deepspeed_stage_1", "deepspeed_stage_2")), ("ada_merging", ("ddp",))],
)
def test_two_processes_find_what_one_finds(probed, root, method, strategies):
    folder = probed(*INPUTS)
    alone, walked = merged(folder, root, "alone", f"merging={method}")
    weights = load_file(folder / "alone/model.safetensors")
    assert max(abs(a - b) for a, b in zip(*(list(walked[i].values()) for i in (0, -1)), strict=True)) > 1e-2  # it moved
    for strategy in strategies:
        record, points = merged(
            folder, root, strategy, f"merging={method}", "runtime.devices=2", f"runtime.strategy={strategy}"
        )
        for name, found in record["coefficients"].items():
            assert found == pytest.approx(alone["coefficients"][name], abs=TOLERANCE), strategy
        for point, other in zip(points, walked, strict=True):
            assert point == pytest.approx(other, abs=TOLERANCE, nan_ok=True), strategy
        assert record["search"]["probe"] == alone["search"]["probe"]
        for when, losses in alone["search"]["held_out_loss"].items():
            assert record["search"]["held_out_loss"][when] == pytest.approx(losses, abs=TOLERANCE), strategy
        for name, value in load_file(folder / strategy / "model.safetensors").items():
            assert (value - weights[name]).abs().max() < TOLERANCE, (strategy, name)
        assert not list((folder / "data").glob("runs/*"))


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_3"])
def test_a_strategy_that_takes_weights_apart_is_refused_with_what_to_take_instead(probed, run, capsys, strategy):
    folder = probed(*INPUTS)
    assert run(folder, *WORDS, "merging=self_positioning", f"runtime.strategy={strategy}", "out=x") == 1
    assert f"runtime.strategy is {strategy}, which takes weights apart" in capsys.readouterr().err
    assert not (folder / "x").exists()
