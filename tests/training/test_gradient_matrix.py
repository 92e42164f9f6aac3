"""Gradients of every objective, by every way of training, against the plain loss of one process. `-s` prints the table."""

import copy
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

PROGRAM = Path(__file__).with_name("gradient_matrix.py")
TOLERANCE = 1e-5  # relative, in fp32
ZERO = "deepspeed_stage_1,deepspeed_stage_2,deepspeed_stage_3"
LAUNCHES = [(1, "auto,ddp"), (1, ZERO), (2, "ddp,fsdp"), (2, ZERO)]


@pytest.fixture(scope="module")
def matrix():
    torch.set_num_threads(1)
    return SimpleNamespace(**runpy.run_path(str(PROGRAM)))


@pytest.fixture(scope="module")
def objectives(matrix):
    return matrix.objectives()


@pytest.fixture(scope="module")
def plain(matrix, objectives):
    return {
        name: matrix.reference(copy.deepcopy(objective), 0.1, pooling=matrix.pooling_of(name))
        for name, objective in objectives.items()
    }


def launched(folder: Path, root: Path, *words: object) -> dict[tuple[str, str, str], dict[str, torch.Tensor]]:
    """The updates by (strategy, objective, mode), from the program."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"):
        env.pop(name, None)
    command = [sys.executable, "-W", "ignore", str(PROGRAM), str(folder), *map(str, words)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict = {}
    for file in sorted(folder.glob("*.safetensors")):
        for key, value in load_file(file).items():
            name, mode, weight = key.split("|")
            found.setdefault((file.stem, name, mode), {})[weight] = value
    return found


def compared(matrix, plain, found, devices: int) -> None:
    table = {key: matrix.difference(plain[key[1]], updates) for key, updates in found.items()}
    for (strategy, name, mode), value in sorted(table.items()):
        print(f"{strategy:18} {devices} {mode:7} {name:24} {value:.1e}")
    assert len(table) == len(plain) * 2 * len({strategy for strategy, _, _ in table})
    assert max(table.values()) <= TOLERANCE, table


def test_one_process_has_the_gradients_of_the_plain_loss_of_every_objective(matrix, objectives, plain):
    found = {
        ("alone", name, mode): matrix.alone(objective, kept, 0.1, pooling=matrix.pooling_of(name))
        for name, objective in objectives.items()
        for mode, kept in matrix.MODES.items()
    }
    compared(matrix, plain, found, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "strategies"), LAUNCHES)
def test_every_strategy_has_the_gradients_of_the_plain_loss_of_every_objective(
    matrix, plain, root, tmp_path, devices, strategies
):
    """Of one SGD step by the trainer."""
    compared(matrix, plain, launched(tmp_path, root, "cpu", devices, strategies), devices)


@pytest.mark.slow
def test_planted_faults_are_seen(matrix, plain, root, tmp_path):
    faults = ("scale", "chunk", "dropout")
    found = launched(tmp_path, root, "cpu", 2, "ddp", ",".join((*faults, "none")))
    assert matrix.difference(plain["infonce"], found["none", "infonce", "cached"]) <= TOLERANCE
    for fault in faults:
        assert matrix.difference(plain["infonce"], found[fault, "infonce", "cached"]) > 100 * TOLERANCE, fault


def test_a_queue_of_earlier_batches_and_a_pooling_have_gradients_of_their_own(plain, matrix):
    """Or their lines above could not fail."""
    assert matrix.difference(plain["queue"], plain["infonce"]) == 0  # the first step has no earlier batch
    assert matrix.difference(plain["queue"], plain["queue of earlier batches"]) > 100 * TOLERANCE
    assert any("layer_weights" in name and value.any() for name, value in plain["infonce+layer_mix"].items())
    assert matrix.difference(plain["infonce"], plain["infonce+cls_ordinary"]) > 100 * TOLERANCE


@pytest.mark.parametrize("fault", ["chunk", "dropout"])
def test_a_fault_in_one_process_is_seen(matrix, objectives, plain, fault):
    with matrix.planted(fault):
        found = matrix.alone(objectives["infonce"], 0, 0.1)
    assert matrix.difference(plain["infonce"], found) > 100 * TOLERANCE


def test_chunks_change_nothing_where_nothing_is_drawn(matrix, objectives):
    """Without dropout the reference encodes the whole batch at once, short texts padded to the longest. How much rounding that costs
    in itself, a second reference tells, which encodes one text after the other."""
    for name, objective in objectives.items():
        pooling = {"pooling": matrix.pooling_of(name)}
        whole = matrix.reference(copy.deepcopy(objective), 0.0, **pooling)
        rounding = matrix.difference(whole, matrix.reference(copy.deepcopy(objective), 0.0, singly=True, **pooling))
        assert rounding < 1e-4, name
        assert matrix.difference(whole, matrix.alone(objective, 0, 0.0, **pooling)) <= max(TOLERANCE, 2 * rounding), name
