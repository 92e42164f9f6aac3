"""Models of a few tensors as files, merged by the code that merges real ones."""

import itertools
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.delta import Models


def draw(seed, scale=1.0):
    random = torch.Generator().manual_seed(seed)
    shapes = {"layer.0.w": (5, 4), "layer.1.w": (3, 6), "b": (7,)}
    return {name: scale * torch.randn(shape, generator=random) for name, shape in shapes.items()}


@pytest.fixture
def state():
    """A base (0), or an expert trained from it (1, 2, ...)."""
    base = draw(0)
    return lambda seed: base if seed == 0 else {n: base[n] + v for n, v in draw(seed, 0.3).items()}


@pytest.fixture
def models(tmp_path):
    """`Models` of states, which are written first."""
    count = itertools.count()

    def made(base, experts):
        folders = []
        for one in (base, *experts):
            folders.append(tmp_path / f"model{next(count)}")
            folders[-1].mkdir()
            save_file({name: value.contiguous() for name, value in one.items()}, folders[-1] / "model.safetensors")
            (folders[-1] / "config.json").write_text(json.dumps({"model_type": "bert"}))
        return Models(folders[0], folders[1:])

    return made


@pytest.fixture
def merged(models, tmp_path):
    """The state that a method makes."""
    count = itertools.count()

    def made(method, base, experts):
        given = models(base, experts)
        method.prepare(given)
        out = tmp_path / f"out{next(count)}"
        out.mkdir()
        given.write(out, method.merge, whole=method.whole)
        return load_file(out / "model.safetensors")

    return made
