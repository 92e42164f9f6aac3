"""Decay and clipping are those of one process, also where two hold the weights in parts."""

import importlib.util
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

PROGRAM = Path(__file__).with_name("sharded.py")


@pytest.fixture(scope="module")
def program():
    torch.set_num_threads(1)
    return SimpleNamespace(**runpy.run_path(str(PROGRAM)))


@pytest.fixture(scope="module")
def gradient(program):
    """The plain gradient of the loss, and its norm."""
    found = program.MATRIX.reference(program.MATRIX.objectives()["infonce"], 0.0)
    return found, torch.cat([value.flatten() for value in found.values()]).norm().item()


@pytest.fixture(params=["ddp", "fsdp", pytest.param("deepspeed_stage_2", marks=pytest.mark.slow)])
def of_two(request, program, tmp_path, two_processes):
    """``(strategy, by process what came out)``."""
    if request.param.startswith("deepspeed") and importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    two_processes(PROGRAM, tmp_path, program.free_port(), request.param)
    return request.param, [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_decay_what_one_decays_and_clip_by_the_norm_of_the_whole_gradient(program, gradient, of_two):
    strategy, found = of_two
    expected, norm = gradient
    alone = program.decayed("auto")
    assert alone == {
        name: weight.ndim > 1 and name in expected for name, weight in program.MATRIX.encoder(0.0).named_parameters()
    }
    assert any(alone.values())
    for one in found:
        assert one["decayed"] == alone
        if not strategy.startswith("deepspeed"):  # which tells it by itself
            assert one["clipped"]["norm"] == pytest.approx(norm, rel=1e-5)
        assert norm > 2 * program.CLIP
        for name, value in expected.items():
            taken = torch.tensor(one["clipped"]["taken"][name])
            torch.testing.assert_close(taken, value * program.CLIP / norm, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_process_tells_the_norm_of_the_gradient_and_clips_by_it(program, gradient):
    expected, norm = gradient
    found = program.clipped("auto")
    assert found["norm"] == pytest.approx(norm, rel=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(torch.tensor(found["taken"][name]), value * program.CLIP / norm, rtol=1e-4, atol=1e-6)
