"""What is tested on the CPU, on a CUDA device: `pytest -m gpu`."""

import random

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_every_architecture_predicts_what_it_does_on_the_cpu(model, architecture):
    draw = random.Random(0)

    def side():
        return ":".join("".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=draw.randint(3, 20))) for _ in range(draw.randint(1, 3)))

    complexes = [(side(), side()) for _ in range(40)]
    made = model(architecture)
    on_cpu = made.predict(complexes, batch_tokens=256, title="")
    assert on_cpu.std() > 0.01
    np.testing.assert_allclose(made.to("cuda").predict(complexes, batch_tokens=256, title=""), on_cpu, atol=1e-4, rtol=1e-4)
