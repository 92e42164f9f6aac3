"""Gradients of every pretext of the catalogue: chunks computed again, and two processes, change nothing."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

PROGRAM = Path(__file__).with_name("every_pretext.py")


@pytest.fixture(scope="module")
def program():
    torch.set_num_threads(1)
    return SimpleNamespace(**runpy.run_path(str(PROGRAM)))


@pytest.fixture(scope="module")
def plain(program):
    return {name: program.gradients(node, 10**9) for name, node in program.pretexts().items()}


def worst(found, expected):
    """Of all weights, relative to the whole gradient."""
    whole = torch.stack([value.norm() for value in expected.values()]).norm()
    assert found.keys() == expected.keys()
    return max(float((found[name] - value).norm() / whole) for name, value in expected.items())


def test_each_moves_the_encoder_and_what_is_computed_again_is_the_same(program, plain):
    for name, node in program.pretexts().items():
        assert any(value.any() for weight, value in plain[name].items() if weight.startswith("encoder.")), name
        assert worst(program.gradients(node, 0), plain[name]) < 1e-5, name


def test_two_processes_have_the_gradients_of_one(plain, two_processes, tmp_path):
    two_processes(PROGRAM, tmp_path)
    found: dict = {}
    for key, value in load_file(tmp_path / "gradients.safetensors").items():
        name, weight = key.split("|")
        found.setdefault(name, {})[weight] = value
    assert found.keys() == plain.keys()
    for name, gradients in plain.items():
        assert worst(found[name], gradients) < 1e-5, name


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "devices"), [("auto", 1), ("ddp", 1), ("ddp", 2)])
def test_a_step_by_the_trainer_has_the_gradients_of_the_plain_loss(program, root, tmp_path, strategy, devices):
    """Strategies that shard are refused, as `test_pretext` says."""
    by_trainer = Path(__file__).with_name("by_trainer.py")
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"):
        env.pop(name, None)
    command = [sys.executable, "-W", "ignore", str(by_trainer), str(tmp_path), strategy, str(devices)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict = {}
    for key, value in load_file(tmp_path / "updates.safetensors").items():
        name, weight = key.split("|")
        found.setdefault(name, {})[weight] = value
    reference = runpy.run_path(str(by_trainer))["reference"]
    assert found.keys() == program.pretexts().keys()
    for name, node in program.pretexts().items():
        assert worst(found[name], reference(node)) < 1e-5, name
