"""What is tested on the CPU, on a CUDA device: `pytest -m gpu`."""

import copy
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

HERE = Path(__file__).parent
STRATEGIES = "auto,ddp,fsdp,deepspeed_stage_1,deepspeed_stage_2,deepspeed_stage_3"


@pytest.fixture(scope="module")
def matrix():
    return SimpleNamespace(**runpy.run_path(str(HERE / "gradient_matrix.py")))


@pytest.fixture(scope="module")
def compare():
    return SimpleNamespace(**runpy.run_path(str(HERE / "test_gradient_matrix.py")))


@pytest.fixture(scope="module")
def objectives(matrix):
    return matrix.objectives()


@pytest.fixture(scope="module")
def plain(matrix, objectives):
    """On the device, whose masks of dropout are not those of the CPU."""
    return {
        name: matrix.reference(copy.deepcopy(objective), 0.1, pooling=matrix.pooling_of(name), device="cuda")
        for name, objective in objectives.items()
    }


def test_without_dropout_the_gradients_are_those_of_the_cpu(matrix, objectives):
    for name, objective in objectives.items():
        pooling = {"pooling": matrix.pooling_of(name)}
        on_cpu = matrix.reference(copy.deepcopy(objective), 0.0, **pooling)
        rounding = matrix.difference(on_cpu, matrix.reference(copy.deepcopy(objective), 0.0, singly=True, **pooling))
        found = matrix.difference(on_cpu, matrix.alone(objective, 0, 0.0, device="cuda", **pooling))
        print(f"{name:24} {found:.1e}")
        assert found <= max(1e-4, 4 * rounding), name


def test_every_strategy_has_the_gradients_of_the_plain_loss_of_every_objective(matrix, compare, plain, root, tmp_path):
    compare.compared(matrix, plain, compare.launched(tmp_path, root, "cuda", 1, STRATEGIES), 1)


def test_vectors_are_those_of_the_cpu(tiny_encoder):
    encoder = tiny_encoder(max_length_tokens=12)
    texts = [f"a dog ran {'in the park ' * (k % 9)}{k}" for k in range(500)]
    on_cpu = encoder.encode(texts, max_length_tokens=12, batch_tokens=256, title="")
    encoder.spread([torch.device("cuda", k) for k in range(torch.cuda.device_count())])
    np.testing.assert_allclose(encoder.encode(texts, max_length_tokens=12, batch_tokens=256, title=""), on_cpu, atol=1e-5)
