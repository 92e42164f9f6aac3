import math

import pytest
import torch

from pipeline.delta import delta
from pipeline.merging.slerp import Slerp

ROUNDING = {"atol": 1e-6, "rtol": 0}  # values near 1 in float32, and a handful of sums
SETTINGS = {"norm": 1.0, "linear_above": 0.9995}


def state(seed):
    random = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(3, 2, generator=random), "b": torch.randn(4, generator=random)}


BASE = state(0)


def vector(*values):
    """A task vector of two tensors."""
    return {"a": torch.tensor(values[:2]), "b": torch.tensor(values[2:])}


def flat(one):
    return torch.cat([one["a"].flatten(), one["b"].flatten()]).double()


def merged(deltas, **changes):
    zero = {key: torch.zeros_like(value) for key, value in deltas[0].items()}
    return flat(Slerp(**SETTINGS | changes)(zero, deltas))


def arc(left, right, share=0.5):
    """Shoemake's formula on two plain vectors."""
    angle = math.acos(float(left @ right / left.norm() / right.norm()))
    return (math.sin((1 - share) * angle) * left + math.sin(share * angle) * right) / math.sin(angle)


def test_two_equally_long_task_vectors_at_a_right_angle_keep_their_length():
    found = merged([vector(3.0, 0.0, 0.0, 4.0), vector(0.0, 5.0, 0.0, 0.0)])
    torch.testing.assert_close(found, torch.tensor([3.0, 5.0, 0.0, 4.0]).double() * math.sqrt(0.5))
    assert float(found.norm()) == pytest.approx(5.0)


@pytest.mark.parametrize("seeds", [(1, 2), (3, 4)])
def test_two_task_vectors_meet_in_the_middle_of_the_arc(seeds):
    left, right = (delta(state(seed), BASE, name="x") for seed in seeds)
    torch.testing.assert_close(merged([left, right]), arc(flat(left), flat(right)), **ROUNDING)


def test_three_are_joined_one_after_the_other():
    one, two, three = (delta(state(seed), BASE, name="x") for seed in (1, 2, 3))
    torch.testing.assert_close(merged([one, two, three]), arc(arc(flat(one), flat(two)), flat(three)), **ROUNDING)


@pytest.mark.parametrize("factor", [1.0, 3.0, -0.5])
def test_parallel_task_vectors_are_mixed_linearly(factor):
    one = vector(1.0, 2.0, -3.0, 0.5)
    two = {key: factor * value for key, value in one.items()}
    torch.testing.assert_close(merged([one, two]), (flat(one) + flat(two)) / 2, **ROUNDING)


def test_the_arc_and_the_line_agree_where_one_takes_over_from_the_other():
    one, two = vector(1.0, 0.0, 0.0, 0.0), vector(1.0, 0.02, 0.0, 0.0)  # cosine 0.9998
    torch.testing.assert_close(merged([one, two]), merged([one, two], linear_above=0.99999), atol=1e-4, rtol=0)


def test_one_expert_gives_the_expert_and_equal_experts_give_it_too():
    expert = state(1)
    one = delta(expert, BASE, name="x")
    for deltas in ([one], [one, one], [one, one, one]):
        for key, value in Slerp(**SETTINGS)(BASE, deltas).items():
            torch.testing.assert_close(value, expert[key], **ROUNDING)


def test_norm_scales_the_task_vector_and_zero_gives_the_base():
    deltas = [delta(state(seed), BASE, name="x") for seed in (1, 2)]
    torch.testing.assert_close(merged(deltas, norm=0.5), 0.5 * merged(deltas))
    for key, value in Slerp(**SETTINGS | {"norm": 0.0})(BASE, deltas).items():
        assert torch.equal(value, BASE[key])


def test_the_order_of_two_experts_changes_nothing():
    one, two = (delta(state(seed), BASE, name="x") for seed in (1, 2))
    torch.testing.assert_close(merged([one, two]), merged([two, one]), **ROUNDING)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_expert_that_learned_nothing_gives_no_nan(place):
    deltas = [delta(state(seed), BASE, name="x") for seed in (1, 2)]
    deltas.insert(place, delta(BASE, BASE, name="nothing"))
    assert torch.isfinite(merged(deltas)).all()
    zeros = [delta(BASE, BASE, name="nothing")] * 2
    assert not merged(zeros).any()


def test_an_expert_that_learned_nothing_halves_the_other():
    one, nothing = delta(state(1), BASE, name="x"), delta(BASE, BASE, name="nothing")
    for deltas in ([one, nothing], [nothing, one]):
        torch.testing.assert_close(merged(deltas), flat(one) / 2, **ROUNDING)


def test_opposite_task_vectors_cancel_and_leave_the_third_half():
    one, third = delta(state(1), BASE, name="x"), delta(state(3), BASE, name="x")
    opposite = {key: -value for key, value in one.items()}
    torch.testing.assert_close(merged([one, opposite, third]), flat(third) / 2, **ROUNDING)


def test_task_vectors_that_all_but_cancel_have_a_length_in_spite_of_rounding(monkeypatch):
    gram = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0 - 1e-15, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    monkeypatch.setattr("pipeline.merging.slerp.gram", lambda deltas: gram)  # the length of the first two is below zero
    assert all(math.isfinite(c) for c in Slerp(**SETTINGS).coefficients([{}, {}, {}]))


@pytest.mark.parametrize("change", [{"norm": -1.0}, {"linear_above": 1.0}, {"linear_above": 0.0}])
def test_settings_out_of_range_are_refused_with_their_file(change):
    with pytest.raises(ValueError, match=r"got .*conf/method/slerp.yaml"):
        Slerp(**SETTINGS | change)
