"""Trainings that are killed or asked to stop, and trainings by several processes, as programs: `python -m pipeline train joint`."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

INPUTS = ("checkpoints/base", "data/curated", "data/mined", "data/config.yaml")
KILLS = int(
    os.environ.get("TRIBUTARY_KILLS", "3")
)  # python -m pytest -m slow tests/stage/test_killed.py, with 20 as a benchmark
STEPS = 40  # of each of the two tasks
LORA = {"_target_": "pipeline.adapter.lora.LoRA", "rank": 2, "alpha": 4, "dropout": 0.1, "targets": "all-linear"}

# `python -m pipeline`, but each batch is written to the file `order`: its number, and a hash of its texts in their order.
TRACED = """
import sys
from pipeline.__main__ import main
from pipeline.stopping import listen
from pipeline.training.data import Batches
listen()
tensors = Batches.batch
def traced(self, number):
    batch = tensors(self, number)
    with open("order", "a") as file:
        file.write(f"{number} {batch.mark}\\n")
    return batch
Batches.batch = traced
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.slow


def start(folder: Path, root: Path, *words: str) -> subprocess.Popen:
    env = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "RANK")}
    env |= {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "TRIBUTARY_TRACEBACK": "1"}
    (folder / "traced.py").write_text(TRACED, encoding="utf-8")  # a file, for a second process is started by its path
    command = [sys.executable, "-W", "ignore", "traced.py", *words]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # else it inherits that it is ignored
        )  # fmt: skip


def finish(folder: Path, root: Path, *words: str) -> None:
    process = start(folder, root, *words)
    assert process.wait(300) == 0, (folder / "log").read_text()[-3000:]


def last_step(folder: Path) -> int:
    """Of the training that goes on; -1 before its first."""
    files = list(folder.glob("data/runs/*/version_*/metrics.csv"))
    newest = max(files, key=lambda file: int(file.parent.name.removeprefix("version_")), default=None)
    lines = newest.read_text().splitlines() if newest else []
    if len(lines) < 3:
        return -1
    at = lines[0].split(",").index("step")
    found = [line.split(",")[at] for line in lines[1:-1] if len(line.split(",")) > at]
    return max((int(step) for step in found if step.isdigit()), default=-1)


def kill_at(folder: Path, root: Path, step: int, signum: int = signal.SIGKILL, *, alone: bool = False) -> None:
    """The training and all it started, or its first process alone, as soon as it has told of ``step``. Where it may, it says what it has
    saved."""
    process = start(folder, root, "train", "joint")
    while process.poll() is None and last_step(folder) < step:
        time.sleep(0.01)
    assert process.poll() is None, "it had ended before"
    (os.kill if alone else os.killpg)(process.pid, signum)
    status, log = process.wait(60), (folder / "log").read_text()
    if signum == signal.SIGKILL:
        return
    assert status == 128 + signum, log
    assert "which is saved; the same command goes on from there" in log
    assert "Traceback" not in log
    assert saved(folder)[-1] >= step


def saved(folder: Path) -> list[int]:
    return sorted(int(file.name.split("-")[0]) for file in folder.glob("data/runs/train-joint-*/*.ckpt"))


def first_steps(folder: Path) -> dict[str, int]:
    """By start of the training, the first step that it told of."""
    found = {}
    for file in folder.glob("data/runs/train-joint-*/version_*/metrics.csv"):
        head, *lines = file.read_text().splitlines()
        steps = [line.split(",")[head.split(",").index("step")] for line in lines]
        found[file.parent.name] = min(int(step) for step in steps if step.isdigit())
    return found


def differing(left: Path, right: Path, *, of: str = "checkpoints/controls/joint") -> float:
    a, b = load_file(left / "checkpoints/controls/joint/model.safetensors"), load_file(right / of / "model.safetensors")
    assert a.keys() == b.keys()
    return max(float((a[key] - b[key]).abs().max()) for key in a)


@pytest.fixture
def training(copied):
    """A workspace before the training of `joint`, with a checkpoint at every third of its steps."""
    return lambda **runtime: copied(
        *INPUTS, train={"joint": {"steps_per_task": STEPS}}, runtime={"checkpoint_every_steps": 3, **runtime}
    )


def moved(folder: Path, name: str) -> Path:
    return folder.rename(folder.with_name(name))


def test_a_training_killed_at_random_steps_ends_with_the_same_bytes(training, root):
    whole = moved(training(), "whole")
    finish(whole, root, "train", "joint")
    folder = training()
    draw = random.Random(KILLS)
    signals = itertools.cycle((signal.SIGTERM, signal.SIGKILL, signal.SIGINT))
    for step, signum in zip(sorted(draw.sample(range(2, 2 * STEPS - 12), KILLS)), signals, strict=False):
        before, known = [0, *saved(folder)][-1], first_steps(folder)
        kill_at(folder, root, step, signum)
        assert not (folder / "checkpoints/controls/joint").exists()
        assert [first for name, first in first_steps(folder).items() if name not in known] == [before]
        assert len(saved(folder)) <= 2
    finish(folder, root, "train", "joint")
    for file in ("checkpoints/controls/joint/model.safetensors", "data/metrics/train/joint.csv"):
        assert (folder / file).read_bytes() == (whole / file).read_bytes(), file
    assert list((folder / "data/runs").iterdir()) == []
    orders = [(f / "order").read_text().split("\n")[:-1] for f in (whole, folder)]
    assert len(orders[0]) == 2 * STEPS < len(orders[1])  # what stood behind a checkpoint is done again
    assert sorted(set(orders[1]), key=lambda line: int(line.split()[0])) == orders[0]


def test_a_training_goes_on_with_two_processes_then_one_then_two(training, root):
    whole = moved(training(), "whole")
    finish(whole, root, "train", "joint")
    folder = training(devices=2)
    config = folder / "data/config.yaml"
    two = config.read_text(encoding="utf-8")
    kill_at(folder, root, 20)
    config.write_text(two.replace("devices: 2", "devices: 1"), encoding="utf-8")
    kill_at(folder, root, 45)
    config.write_text(two, encoding="utf-8")
    finish(folder, root, "train", "joint")
    assert differing(whole, folder) < 1e-5


@pytest.mark.parametrize("alone", [True, False])
def test_two_processes_stop_together_whichever_of_them_is_asked(training, root, alone):
    whole = moved(training(devices=2), "whole")
    finish(whole, root, "train", "joint")
    folder = training(devices=2)
    kill_at(folder, root, 20, signal.SIGTERM, alone=alone)
    before = saved(folder)[-1]
    finish(folder, root, "train", "joint")
    assert differing(whole, folder) == 0
    assert before >= 20


@pytest.mark.parametrize("strategy", ["deepspeed_stage_3"])
def test_two_sharded_processes_end_where_one_does_and_only_the_first_writes(training, root, strategy):
    whole = moved(training(), "whole")
    finish(whole, root, "train", "joint")
    folder = training(devices=2, strategy=strategy, checkpoint_every_steps=15)
    kill_at(folder, root, 20)
    finish(folder, root, "train", "joint")
    assert differing(whole, folder) < 1e-5
    assert sorted(path.name for path in (folder / "data/metrics/train").iterdir()) == ["joint.csv"]


@pytest.mark.parametrize("strategy", ["ddp", "deepspeed_stage_3"])
def test_an_adapter_learns_the_same_by_two_processes(adapted, root, strategy):
    whole, folder = adapted
    config = folder / "data/config.yaml"
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["runtime"] |= {"devices": 2, "strategy": strategy}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    finish(folder, root, "train", "joint")
    assert 0 < differing(whole, folder) < 1e-5
    assert differing(folder, folder, of="checkpoints/base") > 1e-4
    assert not any("lora" in name for name in load_file(folder / "checkpoints/controls/joint/model.safetensors"))


@pytest.fixture
def adapted(training, root):
    """``(trained by one process, before training)``: workspaces whose encoder names an adapter."""
    whole = moved(training(), "whole")
    settings = whole / "checkpoints/base/encoder.yaml"
    settings.write_text(settings.read_text() + yaml.safe_dump({"adapter": LORA}), encoding="utf-8")
    config = yaml.safe_load((whole / "data/config.yaml").read_text(encoding="utf-8"))
    config["train"]["joint"]["steps_per_task"] = 5
    (whole / "data/config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    folder = Path(shutil.copytree(whole, whole.with_name("copied")))
    finish(whole, root, "train", "joint")
    return whole, folder
