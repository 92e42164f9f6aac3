from dataclasses import replace

import pytest
import torch

from pipeline.objective.margin_mse import MarginMSE


def taught(rich, **changes):
    return replace(rich(**changes), teacher=torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double())


def by_hand(pairs, scale):
    similarity = (pairs.query @ pairs.document.T).tolist()
    costs = []
    for i in range(len(similarity))[pairs.anchors]:
        teacher = pairs.teacher[i].tolist()
        p = int(pairs.positive[i, 0])
        squares = [
            (scale * (similarity[i][p] - similarity[i][n]) - (teacher[0] - teacher[k])) ** 2
            for k, n in enumerate(pairs.negative[i].tolist(), start=1)
            if n >= 0
        ]
        costs.append(sum(squares) / len(squares) if squares else 0)
    return sum(costs) / len(costs)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_loss_equals_a_loop_over_margins(rich, scale):
    for anchors in (slice(0, 6), slice(2, 5)):
        given = taught(rich, anchors=anchors)
        assert float(MarginMSE(scale=scale)(given)) == pytest.approx(by_hand(given, scale), rel=1e-12)


def test_a_student_with_the_teachers_margins_costs_nothing_whatever_the_level(rich):
    given = rich()
    index = torch.cat([given.positive[:, :1], given.negative], dim=1)
    cosine = (given.query @ given.document.T).gather(1, index.clamp(min=0))
    assert float(MarginMSE(scale=1.0)(replace(given, teacher=cosine + 7))) == pytest.approx(0, abs=1e-20)


def test_scores_that_do_not_fit_the_negatives_are_refused(pairs, rich):
    for given in (pairs(torch.eye(2), torch.eye(2), teacher=torch.ones(2, 1)), replace(rich(), teacher=torch.ones(6, 2))):
        with pytest.raises(ValueError, match=r"distillation needs mined negatives and a teacher's score .* got [02] negatives"):
            MarginMSE(scale=1.0)(given)


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        MarginMSE(scale=0)
