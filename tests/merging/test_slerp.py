import math

import pytest
import torch

from pipeline.merging.slerp import Slerp, arc

ROUNDING = {"atol": 1e-6, "rtol": 0}  # values near 1 in float32, and a handful of sums
SETTINGS = {"norm": 1.0, "linear_above": 0.9995, "scope": "model"}
LIMIT = {"previous": "mean", "linear_above": 0.9995}


def on_arc(left, right, share=0.5):
    """Shoemake's formula on two plain vectors."""
    angle = math.acos(float(left @ right / left.norm() / right.norm()))
    return (math.sin((1 - share) * angle) * left + math.sin(share * angle) * right) / math.sin(angle)


def flat(one, base):
    return torch.cat([(one[n] - base[n]).flatten() for n in sorted(base)]).double()


@pytest.mark.parametrize("num", [2, 3])
def test_task_vectors_are_joined_on_the_arc_one_after_the_other(state, merged, num):
    base, experts = state(0), [state(k) for k in range(1, num + 1)]
    expected = flat(experts[0], base)
    for one in experts[1:]:
        expected = on_arc(expected, flat(one, base))
    torch.testing.assert_close(flat(merged(Slerp(**SETTINGS), base, experts), base), expected, **ROUNDING)


def test_each_tensor_has_its_own_arc_where_the_scope_is_a_tensor(state, merged):
    base, one, two = (state(k) for k in (0, 1, 2))
    for name, value in merged(Slerp(**SETTINGS | {"scope": "tensor"}), base, [one, two]).items():
        left, right = ((e[name] - base[name]).flatten().double() for e in (one, two))
        torch.testing.assert_close((value - base[name]).flatten().double(), on_arc(left, right), **ROUNDING)


def test_the_share_of_a_vector_is_its_coefficient_by_that_and_the_mean_or_sum_of_those_before():
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    vectors = torch.randn(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gram = vectors @ vectors.T
    for previous, last in (("mean", 3 / 4.5), ("sum", 3 / 6)):
        expected = on_arc(on_arc(vectors[0], vectors[1], 2 / 3), vectors[2], last)
        torch.testing.assert_close(arc(gram, a, previous=previous, linear_above=0.9995) @ vectors, expected)
        torch.testing.assert_close(arc(gram, 7 * a, previous=previous, linear_above=0.9995) @ vectors, expected)


def test_orthogonal_vectors_of_one_length_keep_it():
    c = arc(25 * torch.eye(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64), **LIMIT)
    torch.testing.assert_close(c, torch.full((2,), math.sqrt(0.5), dtype=torch.float64))


def test_opposite_task_vectors_are_mixed_linearly_with_a_warning():
    gram = torch.tensor([[1.0, -0.5], [-0.5, 0.25]], dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"task vector 2 points against those before it \(cosine -1.0000\)"):
        assert arc(gram, torch.ones(2, dtype=torch.float64), **LIMIT).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.0])
def test_parallel_and_empty_task_vectors_are_mixed_linearly(factor):
    gram = torch.tensor([[1.0, factor], [factor, factor**2]], dtype=torch.float64)
    assert arc(gram, torch.ones(2, dtype=torch.float64), **LIMIT).tolist() == [0.5, 0.5]


def test_task_vectors_that_all_but_cancel_have_a_length_in_spite_of_rounding():
    gram = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0 - 1e-15, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    with pytest.warns(UserWarning, match="points against"):
        found = arc(gram, torch.ones(3, dtype=torch.float64), **LIMIT)
    assert torch.isfinite(found).all()


def test_the_gradient_is_that_of_finite_differences():
    vectors = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gram = vectors @ vectors.T
    a = torch.tensor([1.0, 0.5, 2.0, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: arc(gram, x, **LIMIT), a)


@pytest.mark.parametrize("change", [{"norm": -1.0}, {"linear_above": 1.0}, {"linear_above": 0.0}])
def test_settings_out_of_range_are_refused_with_their_file(change):
    with pytest.raises(ValueError, match=r"got .*conf/merging/slerp.yaml"):
        Slerp(**SETTINGS | change)
