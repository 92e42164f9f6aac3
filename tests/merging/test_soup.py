import itertools

import torch

from pipeline.delta import delta
from pipeline.merging.soup import Soup

ROUNDING = {"atol": 1e-6, "rtol": 0}  # values near 1 in float32, and a handful of sums


def state(seed):
    random = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(3, 2, generator=random), "b": torch.randn(4, generator=random)}


BASE, EXPERTS = state(0), [state(1), state(2), state(3)]


def merged(experts):
    return Soup()(BASE, [delta(expert, BASE, name="x") for expert in experts])


def test_the_soup_is_the_mean_of_the_experts():
    for key, value in merged(EXPERTS).items():
        torch.testing.assert_close(value, sum(expert[key] for expert in EXPERTS) / 3, **ROUNDING)


def test_one_expert_gives_the_expert_and_equal_experts_give_it_too():
    for experts in (EXPERTS[:1], EXPERTS[:1] * 3):
        for key, value in merged(experts).items():
            torch.testing.assert_close(value, EXPERTS[0][key], **ROUNDING)


def test_the_order_of_the_experts_changes_nothing():
    expected = merged(EXPERTS)
    for order in itertools.permutations(EXPERTS):
        for key, value in merged(order).items():
            torch.testing.assert_close(value, expected[key], **ROUNDING)


def test_experts_that_learned_nothing_give_the_base():
    for key, value in merged([BASE, BASE]).items():
        assert torch.equal(value, BASE[key])
