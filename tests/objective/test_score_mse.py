from dataclasses import replace

import pytest
import torch

from pipeline.objective.score_mse import ScoreMSE


def by_hand(pairs, scale, shift):
    similarity, costs = (pairs.query @ pairs.document.T).tolist(), []
    for i in range(len(similarity))[pairs.anchors]:
        candidates = [int(pairs.positive[i, 0]), *pairs.negative[i].tolist()]
        squares = [
            (scale * similarity[i][n] + shift - float(pairs.teacher[i, k])) ** 2 for k, n in enumerate(candidates) if n >= 0
        ]
        costs.append(sum(squares) / len(squares))
    return sum(costs) / len(costs)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (20.0, -10.0)])
def test_the_loss_equals_a_loop_over_pairs(rich, scale, shift):
    for anchors in (slice(0, 6), slice(2, 5)):
        given = replace(rich(anchors=anchors), teacher=torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double())
        assert float(ScoreMSE(scale=scale, shift=shift)(given)) == pytest.approx(by_hand(given, scale, shift), rel=1e-12)


def test_scores_at_another_level_cost_what_margins_alone_would_not_see(rich):
    given = rich()
    index = torch.cat([given.positive[:, :1], given.negative], dim=1)
    cosine = (given.query @ given.document.T).gather(1, index.clamp(min=0))
    assert float(ScoreMSE(scale=1.0, shift=0.0)(replace(given, teacher=cosine))) == pytest.approx(0, abs=1e-20)
    assert float(ScoreMSE(scale=1.0, shift=0.0)(replace(given, teacher=cosine + 2))) == pytest.approx(4)
    assert float(ScoreMSE(scale=1.0, shift=2.0)(replace(given, teacher=cosine + 2))) == pytest.approx(0, abs=1e-20)


def test_pairs_without_negatives_are_learned_too(pairs):
    given = pairs(torch.eye(3), torch.eye(3), teacher=torch.tensor([[1.0], [0.5], [0.0]]))
    assert float(ScoreMSE(scale=1.0, shift=0.0)(given)) == pytest.approx((0 + 0.25 + 1) / 3)


def test_what_does_not_fit_is_refused(rich):
    with pytest.raises(
        ValueError, match="needs a teacher's score of the positive and of each mined negative, got 2 scores of 3"
    ):
        ScoreMSE(scale=1.0, shift=0.0)(replace(rich(), teacher=torch.ones(6, 2)))
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        ScoreMSE(scale=0, shift=0.0)
