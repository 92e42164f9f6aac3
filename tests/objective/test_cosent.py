import math

import pytest
import torch

from pipeline.objective.cosent import CoSENT, cosent


def by_hand(cosine, score, scale):
    """arXiv:2309.12871, eq. 3: every pair of pairs, one exponential at a time."""
    total = 1.0
    for i in range(len(cosine)):
        for j in range(len(cosine)):
            if score[i] > score[j]:
                total += math.exp(scale * (float(cosine[j]) - float(cosine[i])))
    return math.log(total)


def tensor(*values, **kwargs):
    return torch.tensor(values, dtype=torch.float64, **kwargs)


@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("score", [(0.0, 1.0, 2.0, 3.0, 4.0), (5.0, 1.0, 1.0, 5.0, 0.0), (-1.0, -2.0, 0.5, 0.25, -2.0)])
def test_the_loss_equals_a_double_loop(score, scale):
    cosine = (0.3, -0.2, 0.9, 0.1, 0.3)
    assert float(cosent(tensor(*cosine), tensor(*score), scale=scale)) == pytest.approx(
        by_hand(cosine, score, scale), rel=1e-12
    )


def test_the_objective_takes_the_cosine_of_each_query_with_its_own_document(pairs):
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    document = torch.tensor([[0.6, 0.8], [0.8, 0.6], [1.0, 0.0]])
    given = pairs(query, document, torch.tensor([1, 0]), torch.tensor([0.0, 1.0]))
    assert float(CoSENT(scale=5.0)(given)) == pytest.approx(by_hand((0.8, 0.8), (0.0, 1.0), 5.0), rel=1e-6)
    given = pairs(query, document, torch.tensor([2, 1]), torch.tensor([0.0, 1.0]))
    assert float(CoSENT(scale=5.0)(given)) == pytest.approx(by_hand((1.0, 0.6), (0.0, 1.0), 5.0), rel=1e-6)


def test_gradients_are_those_of_all_pairs_at_once():
    random = torch.Generator().manual_seed(0)
    cosine = (torch.rand(50, generator=random, dtype=torch.float64) * 2 - 1).requires_grad_()
    score = torch.randint(0, 6, (50,), generator=random).double()
    wrong = (20 * (cosine[None, :] - cosine[:, None]))[score[:, None] > score[None, :]]
    expected = torch.autograd.grad(torch.cat([wrong.new_zeros(1), wrong]).logsumexp(0), cosine)[0]
    found = torch.autograd.grad(cosent(cosine, score, scale=20.0), cosine)[0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_only_the_order_of_the_scores_counts():
    cosine = tensor(0.1, 0.5, 0.3)
    assert cosent(cosine, tensor(1.0, 2.0, 3.0), scale=20.0) == cosent(cosine, tensor(-7.0, 0.0, 100.0), scale=20.0)


def test_the_right_order_costs_little_and_the_wrong_one_much():
    cosine = tensor(0.0, 0.5, 1.0)
    assert float(cosent(cosine, tensor(1.0, 2.0, 3.0), scale=20.0)) < 1e-3
    assert float(cosent(cosine, tensor(3.0, 2.0, 1.0), scale=20.0)) == pytest.approx(20.0, abs=1e-3)  # the largest difference


def test_equal_scores_teach_nothing():
    cosine = tensor(0.1, 0.9, -0.5, requires_grad=True)
    loss = cosent(cosine, tensor(2.0, 2.0, 2.0), scale=20.0)
    loss.backward()
    assert loss.detach() == 0
    assert cosine.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", [20.0, 1e4])
def test_gradients_are_finite_and_pull_the_wrong_order_apart(scale):
    cosine = tensor(-1.0, 1.0, requires_grad=True)
    cosent(cosine, tensor(1.0, 0.0), scale=scale).backward()
    assert torch.isfinite(cosine.grad).all()
    assert cosine.grad[0] < 0 < cosine.grad[1]


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        CoSENT(scale=0)
