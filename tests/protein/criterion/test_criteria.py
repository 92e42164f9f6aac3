import itertools
import math

import pytest
import torch

from pipeline.protein.criterion.list_mle import ListMLE
from pipeline.protein.criterion.margin_ranking import MarginRanking
from pipeline.protein.criterion.mse import MSE

SCORE = torch.tensor([7.0, 5.0, 9.0, 6.0])


def test_mean_squared_error_by_hand():
    assert MSE()(torch.tensor([7.0, 7.0, 9.0, 5.0]), SCORE).item() == pytest.approx((0 + 4 + 0 + 1) / 4)
    assert MSE.in_units


def test_list_mle_is_the_likelihood_of_the_true_order_among_all_orders():
    predicted = torch.tensor([0.3, -1.0, 0.8, 0.1], dtype=torch.float64)

    def likelihood(order):
        worth = [math.exp(predicted[i]) for i in order]
        return math.prod(worth[i] / sum(worth[i:]) for i in range(len(worth)))

    assert sum(likelihood(order) for order in itertools.permutations(range(4))) == pytest.approx(1)
    assert ListMLE()(predicted, SCORE).item() == pytest.approx(-math.log(likelihood([2, 0, 3, 1])) / 4)


def test_margin_ranking_counts_pairs_that_differ_by_enough():
    predicted = torch.tensor([0.5, 0.4, 0.2, 0.9])
    cost = []
    for i, j in itertools.permutations(range(4), 2):
        if SCORE[i] - SCORE[j] > 1.5:
            cost.append(max(0.0, 0.25 - float(predicted[i] - predicted[j])))
    assert len(cost) == 4
    found = MarginRanking(margin=0.25, least_gap=1.5)(predicted, SCORE).item()
    assert found == pytest.approx(sum(cost) / 4)
    assert MarginRanking(margin=0.25, least_gap=9.0)(predicted, SCORE).item() == 0
    with pytest.raises(ValueError, match="margin must be positive"):
        MarginRanking(margin=0.0, least_gap=0.0)
