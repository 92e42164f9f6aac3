import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.infonce import InfoNCE, info_nce


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def by_hand(query, document, positive, temperature):
    """Eq. 4 of arXiv:1807.03748, one exponential at a time."""
    total = 0.0
    for i in range(len(query)):
        scores = []
        for j in range(len(document)):
            cosine = sum(float(query[i][d]) * float(document[j][d]) for d in range(len(query[i])))
            scores.append(math.exp(cosine / temperature))
        total -= math.log(scores[int(positive[i])] / sum(scores))
    return total / len(query)


@pytest.mark.parametrize("temperature", [0.02, 0.05, 1.0])
@pytest.mark.parametrize("num_documents", [4, 9])
def test_the_loss_equals_a_double_loop(num_documents, temperature):
    query, document = unit(4, 5, seed=0), unit(num_documents, 5, seed=1)
    positive = torch.tensor([2, 0, 3, 1])
    found = info_nce(query, document, positive, temperature=temperature)
    assert float(found) == pytest.approx(by_hand(query, document, positive, temperature), rel=1e-12)


def test_the_objective_is_the_function_of_the_pairs(pairs):
    query, document = unit(4, 5, seed=0), unit(9, 5, seed=1)
    assert InfoNCE(temperature=0.1)(pairs(query, document)) == info_nce(query, document, torch.arange(4), temperature=0.1)


def test_vectors_that_all_point_one_way_cost_the_logarithm_of_the_candidates():
    same = torch.ones(3, 4) / 2
    assert float(info_nce(same, same.repeat(2, 1), torch.arange(3), temperature=0.05)) == pytest.approx(math.log(6), rel=1e-6)


def test_a_duplicate_of_the_positive_raises_the_loss():
    query = document = torch.eye(4)
    positive = torch.arange(4)
    alone = info_nce(query, document, positive, temperature=0.05)
    twice = info_nce(query, torch.cat([document, document[:1]]), positive, temperature=0.05)
    assert float(alone) < 1e-6
    assert float(twice) == pytest.approx(math.log(2) / 4, rel=1e-4)  # of 4 queries one picks between two equal documents


def test_a_hard_negative_raises_the_loss_more_than_an_easy_one():
    query, document = torch.eye(4)[:2], torch.eye(4)[:2]
    hard = F.normalize(torch.tensor([[0.9, 0.0, 0.1, 0.0]]), dim=-1)
    easy = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    losses = [
        float(info_nce(query, torch.cat([document, extra]), torch.arange(2), temperature=0.1))
        for extra in (torch.empty(0, 4), easy, hard)
    ]
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("temperature", [0.001, 1.0])
def test_gradients_are_finite_even_where_the_loss_is_nothing_or_large(temperature):
    for positive in (torch.arange(4), torch.tensor([1, 2, 3, 0])):
        query, document = torch.eye(4, requires_grad=True), torch.eye(4, requires_grad=True)
        info_nce(query, document, positive, temperature=temperature).backward()
        assert torch.isfinite(query.grad).all()
        assert torch.isfinite(document.grad).all()


def test_a_temperature_that_is_not_positive_is_refused():
    for temperature in (0, -0.05):
        with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
            InfoNCE(temperature=temperature)
