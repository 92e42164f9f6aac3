"""DARE by loops over elements. Which elements of an expert stay is seen in merges where it alone has moved."""

import pytest
import torch

from pipeline.merging.dare import Dare, mask

SETTINGS = {"density": 0.5, "norm": 0.7, "sign": "sum", "rescale": "inverse", "seed": 0}


def stayed(merged, base, experts, k, **settings):
    """By tensor: which elements of expert ``k`` are not dropped."""
    alone = [experts[k] if i == k else base for i in range(len(experts))]
    found = merged(Dare(**SETTINGS | settings), base, alone)
    return {name: (found[name] != base[name]).flatten().tolist() for name in base}


@pytest.mark.parametrize("rescale", ["inverse", "l1"])
@pytest.mark.parametrize("sign", ["sum", "mean", "elect"])
def test_what_stays_is_enlarged_and_joined(state, merged, sign, rescale):
    base, experts = state(0), [state(1), state(2), state(3)]
    found = merged(Dare(**SETTINGS | {"sign": sign, "rescale": rescale}), base, experts)
    stays = [stayed(merged, base, experts, k) for k in range(3)]
    for name in base:
        deltas = [(e[name] - base[name]).flatten().tolist() for e in experts]
        factor = []
        for k in range(3):
            left = sum(abs(d) for d, stay in zip(deltas[k], stays[k][name], strict=True) if stay)
            factor.append(2.0 if rescale == "inverse" else sum(map(abs, deltas[k])) / left)
        for i, before in enumerate(base[name].flatten().tolist()):
            values = [factor[k] * deltas[k][i] if stays[k][name][i] else 0.0 for k in range(3)]
            agree = [v for v in values if (v > 0) == (sum(values) >= 0) and v != 0]
            elected = sum(agree) / len(agree) if agree else 0.0
            joined = {"sum": sum(values), "mean": sum(values) / 3, "elect": elected}[sign]
            assert float(found[name].flatten()[i]) == pytest.approx(before + 0.7 * joined, abs=2e-6)


def test_with_l1_an_expert_that_did_not_move_a_tensor_leaves_the_others_their_own_factor(state, merged):
    base, experts = state(0), [state(1), state(0)]
    found = merged(Dare(**SETTINGS | {"rescale": "l1", "norm": 1.0}), base, experts)
    for name in base:
        moved = (experts[0][name] - base[name]).abs().sum()
        torch.testing.assert_close((found[name] - base[name]).abs().sum(), moved, atol=0, rtol=1e-5)


@pytest.mark.parametrize(("sign", "length"), [("mean", 1.0), ("sum", 2.0), ("elect", 1.7)])
def test_over_draws_two_equal_experts_come_out_as_long_as_the_docstring_says(merged, sign, length):
    """At density 0.3: the mean and the sum of the whole task vectors; elected, 2 - 0.3 times one of them."""
    num = 200_000
    base = {"w": torch.zeros(num)}
    one = {"w": torch.ones(num)}
    found = merged(Dare(density=0.3, norm=1.0, sign=sign, rescale="inverse", seed=0), base, [one, one])
    assert float(found["w"].mean()) == pytest.approx(length, abs=0.02)  # five standard errors of the widest, the sum


def test_masks_keep_their_share_and_hang_on_seed_tensor_and_expert_alone():
    one = mask(0, "w", 0, 0, 100_000, 0.3)
    assert float(one.float().mean()) == pytest.approx(0.3, abs=0.006)  # four standard errors
    assert torch.equal(one, mask(0, "w", 0, 0, 100_000, 0.3))
    for other in ((1, "w", 0), (0, "v", 0), (0, "w", 1)):
        assert not torch.equal(one, mask(*other, 0, 100_000, 0.3))
