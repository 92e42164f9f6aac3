"""Against vectors that mergekit 0.1.5 made (mergekit_vectors.py says how): equal where the definitions agree; where not, how not."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import pipeline.merging.dare
from pipeline.merging.dare import Dare
from pipeline.merging.model_stock import ModelStock
from pipeline.merging.multislerp import MultiSlerp
from pipeline.merging.slerp import Slerp
from pipeline.merging.soup import Soup
from pipeline.merging.task_arithmetic import TaskArithmetic
from pipeline.merging.ties import Ties

FOUND = load_file(Path(__file__).with_name("mergekit.safetensors"))
SLERP = {"norm": 1.0, "linear_above": 0.9995, "scope": "tensor"}
EQUAL = {
    "linear": (Soup(weights=[0.5, 0.2, 0.3]), 3),
    "task_arithmetic": (TaskArithmetic(norm=0.4), 3),
    "ties": (Ties(density=0.5, norm=1.0, scope="tensor"), 3),
    "model_stock": (ModelStock(), 3),
    "nuslerp": (Slerp(**SLERP), 2),
}


def of(case):
    return {name.split("|")[1]: value for name, value in FOUND.items() if name.split("|")[0] == case}


BASE, EXPERTS = of("0"), [of(str(k)) for k in (1, 2, 3)]


@pytest.mark.parametrize("case", EQUAL)
def test_a_method_that_is_defined_alike_gives_the_same(merged, case):
    method, num = EQUAL[case]
    for name, value in merged(method, BASE, EXPERTS[:num]).items():
        torch.testing.assert_close(value, of(case)[name], atol=1e-6, rtol=0)


def test_slerp_of_two_whole_models_is_that_of_task_vectors_from_zero(merged):
    """mergekit's slerp has no base: the two models themselves are the vectors."""
    zero = {name: torch.zeros_like(value) for name, value in BASE.items()}
    for name, value in merged(Slerp(**SLERP), zero, EXPERTS[:2]).items():
        torch.testing.assert_close(value, of("slerp")[name], atol=1e-6, rtol=0)


def test_dare_is_the_same_at_the_same_mask(merged, monkeypatch):
    """Which mergekit's result shows: what it dropped is the base's still."""
    kept = {name: (value - BASE[name]).flatten().abs() > 1e-6 for name, value in of("dare_linear").items()}
    monkeypatch.setattr(pipeline.merging.dare, "mask", lambda seed, name, expert, start, size, density: kept[name])
    method = Dare(density=0.6, norm=1.0, sign="sum", rescale="l1", seed=0)
    for name, value in merged(method, BASE, EXPERTS[:1]).items():
        torch.testing.assert_close(value, of("dare_linear")[name], atol=1e-6, rtol=0)


def test_the_multislerp_of_mergekit_is_the_linear_mean_at_the_mean_length(merged):
    """It projects onto the tangent plane, where weighted sums around the mean vanish; ours takes the logarithm, whose do not."""
    for name, value in of("multislerp").items():
        deltas = torch.stack([(e[name] - BASE[name]).flatten() for e in EXPERTS]).double()
        length = deltas.norm(dim=1)
        mean = (deltas / length[:, None]).mean(0)
        expected = BASE[name].double() + (mean / mean.norm() * length.mean()).view_as(value)
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=0)
        ours = merged(MultiSlerp(norm=1.0, weights=[]), BASE, EXPERTS)[name]
        assert 1e-5 < (ours - value).abs().max() < 0.05
