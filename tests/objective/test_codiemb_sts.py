import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax
from scipy.stats import pearsonr, rankdata

from pipeline.objective.codiemb_sts import CoDiEmbSTS, best_pairs_cost, pearson_loss, pro_loss, rank_kl

SETTINGS = {
    "lowest_score": 0.0, "highest_score": 1.0, "pearson": 2.0, "rank_kl": 5.0, "pro": 0.5, "middle": 1.0,
    "temperature": 0.05, "middle_temperature": 0.02, "best_from": 1.0,
}  # fmt: skip
COSINE = (0.3, -0.2, 0.9, 0.1, 0.35, 0.7)
SCORES = [(0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (1.0, 0.5, 0.5, 1.0, 0.0, 0.5)]


def tensor(values, **kwargs):
    return torch.tensor(values, dtype=torch.float64, **kwargs)


def rank_kl_by_hand(cosine, score, temperature):
    rank = rankdata([-y for y in score]) - 1  # from 0, best first, ties share their mean
    n = len(score)
    target = log_softmax((n - 1 - rank) / (n - 1) / temperature)
    return float((np.exp(target) * (target - log_softmax(np.array(cosine) / temperature))).sum() / n)


def pro_by_hand(cosine, score, temperature):
    costs = []
    for k in range(len(score)):
        lower = [j for j in range(len(score)) if score[k] - score[j] > 1e-8]
        if lower:
            own = math.exp(max(score[k] - score[j] for j in lower) * cosine[k] / temperature)
            others = sum(math.exp((score[k] - score[j]) * cosine[j] / temperature) for j in lower)
            costs.append(-math.log(own / (own + others)))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("score", SCORES)
def test_the_correlation_is_pearsons(score):
    expected = 1 - pearsonr(COSINE, score)[0]
    assert float(pearson_loss(tensor(COSINE), tensor(score))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("score", SCORES)
def test_rank_kl_is_the_divergence_of_shares_by_rank_over_the_number_of_pairs(score, temperature):
    found = float(rank_kl(tensor(COSINE), tensor(score), temperature=temperature))
    assert found == pytest.approx(rank_kl_by_hand(COSINE, score, temperature), rel=1e-9)


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
@pytest.mark.parametrize("score", SCORES)
def test_pro_equals_a_double_loop(score, rows_at_once):
    found = float(pro_loss(tensor(COSINE), tensor(score), temperature=0.05, rows_at_once=rows_at_once))
    assert found == pytest.approx(pro_by_hand(COSINE, score, 0.05), rel=1e-12)


def test_the_best_pairs_pick_their_document_among_all(rich):
    given = rich()
    best = given.score >= 1.0
    found = best_pairs_cost(given, given.query, given.document, best, temperature=0.1)
    similarity = (given.query @ given.document[:6].T / 0.1)[[0, 3]]
    similarity[0, 3] = similarity[1, 0] = float("-inf")  # queries 0 and 3 have the same answer
    similarity[1, 5] = float("-inf")  # known to answer query 3
    assert float(found) == pytest.approx(float(F.cross_entropy(similarity, torch.tensor([0, 3]))), rel=1e-12)
    assert float(best_pairs_cost(given, given.query, given.document, best & False, temperature=0.1)) == 0


def with_layers(rich, num, **changes):
    given = rich(**changes)
    layers = tuple((rich(seed=10 + i).query, rich(seed=10 + i).document) for i in range(num))
    return replace(given, layers=layers)


@pytest.mark.parametrize(("num_blocks", "middle"), [(1, 0), (2, 0), (3, 1), (6, 2), (12, 5)])
def test_the_loss_is_the_sum_of_its_parts_by_their_coefficients(rich, num_blocks, middle):
    given = with_layers(rich, num_blocks)
    cosine = (given.query * given.document[:6]).sum(1)
    score = given.score.double()
    expected = (
        2 * (1 - pearsonr(cosine, score)[0])
        + 5 * rank_kl_by_hand(cosine, score, 0.05)
        + 0.5 * pro_by_hand(cosine.tolist(), score.tolist(), 0.05)
        + float(best_pairs_cost(given, *given.layers[middle], score >= 1.0, temperature=0.02))
    )
    assert float(CoDiEmbSTS(**SETTINGS)(given)) == pytest.approx(expected, rel=1e-7)


def test_a_scale_of_0_to_5_is_mapped_to_0_to_1(rich):
    given = with_layers(rich, 2)
    wide = replace(given, score=given.score * 5)
    assert CoDiEmbSTS(**SETTINGS | {"highest_score": 5.0})(wide) == CoDiEmbSTS(**SETTINGS)(given)
    with pytest.raises(
        ValueError, match=r"scores run from 0.0 to 5.0, but the objective was told 0.0 to 1.0; set lowest_score"
    ):
        CoDiEmbSTS(**SETTINGS)(wide)


def test_without_a_middle_coefficient_no_layers_are_asked_for(rich):
    assert CoDiEmbSTS(**SETTINGS).needs_layers
    without = CoDiEmbSTS(**SETTINGS | {"middle": 0.0})
    assert not without.needs_layers
    assert torch.isfinite(without(rich()))


def test_equal_scores_and_equal_cosines_leave_every_gradient_finite():
    for cosine, score in (((0.5, 0.5, 0.5), (0.0, 0.5, 1.0)), (COSINE[:3], (1.0, 1.0, 1.0))):
        value = tensor(cosine, requires_grad=True)
        losses = [
            pearson_loss(value, tensor(score)),
            rank_kl(value, tensor(score), temperature=0.05),
            pro_loss(value, tensor(score), temperature=0.05, rows_at_once=10),
        ]
        sum(losses).backward()
        assert torch.isfinite(value.grad).all()


def test_all_of_it_is_computed_in_float32_under_autocast(rich):
    given = with_layers(rich, 2)
    single = replace(
        given, query=given.query.float(), document=given.document.float(),
        layers=tuple((q.float(), d.float()) for q, d in given.layers),
    )  # fmt: skip
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = CoDiEmbSTS(**SETTINGS)(single)
    assert found.dtype == torch.float32
    assert torch.equal(found, CoDiEmbSTS(**SETTINGS)(single))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lowest_score": 1.0}, "lowest_score must lie below highest_score, got 1.0 and 1.0"),
        ({"temperature": 0.0}, "temperatures must be positive, got 0.0 and 0.02"),
        ({"pro": -1.0}, "coefficients must be 0 or more"),
        ({"pro": 0.0, "pearson": 0.0, "rank_kl": 0.0, "middle": 0.0}, "coefficients must be 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CoDiEmbSTS(**SETTINGS | changes)


def test_a_batch_of_one_pair_is_refused(pairs):
    with pytest.raises(ValueError, match="a correlation needs at least 2 pairs"):
        CoDiEmbSTS(**SETTINGS)(pairs(torch.eye(2)[:1], torch.eye(2)[:1], score=torch.ones(1)))
