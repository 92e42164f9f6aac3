import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from pipeline.metric import (
    average_precision,
    draw_counts,
    drawn_average_precision,
    drawn_mean,
    drawn_spearman,
    exchange_p,
    holm,
    interval,
    spearman,
)


@pytest.mark.parametrize("levels", [2, 4, 1000])  # few levels: many ties
def test_the_rank_correlation_is_scipys_with_and_without_ties(levels):
    random = np.random.default_rng(levels)
    for _ in range(20):
        a, b = random.normal(size=25), random.integers(levels, size=25).astype(float)
        assert float(spearman(a, b)) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_the_rank_correlation_of_many_draws_at_once_is_that_of_each():
    random = np.random.default_rng(0)
    a, b = random.integers(6, size=(30, 12)).astype(float), random.normal(size=(30, 12))
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, atol=1e-12)


def test_the_same_order_is_one_the_reverse_is_minus_one_and_a_constant_is_zero():
    a = np.array([1.0, 2.0, 10.0])
    assert spearman(a, a**3) == pytest.approx(1)
    assert spearman(a, -a) == pytest.approx(-1)
    assert spearman(a, np.ones(3)) == 0
    np.testing.assert_allclose(spearman(np.stack([a, np.ones(3)]), np.stack([a, a])), [1, 0])


def test_by_hand_the_rank_correlation_of_three_with_one_tie():
    # ranks 1, 2, 3 and 1.5, 1.5, 3: products of the deviations 1.5, squares 2 and 1.5
    assert float(spearman(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 9.0]))) == pytest.approx(1.5 / np.sqrt(2 * 1.5))


def test_draws_are_with_replacement_and_the_same_for_equal_arguments():
    found = draw_counts(20, 500, seed=1)
    assert found.shape == (500, 20)
    assert (found.sum(1) == 20).all()
    assert found.max() > 1
    np.testing.assert_array_equal(found, draw_counts(20, 500, seed=1))
    assert (found != draw_counts(20, 500, seed=2)).any()
    assert found.sum(0).astype(int) == pytest.approx(500, abs=110)  # 5 sigma, sigma = sqrt(500 * 0.95)


def test_blocks_of_draws_change_none(monkeypatch):
    whole = draw_counts(20, 50, seed=1)
    values = np.random.default_rng(0).random(20)
    mean = drawn_mean(values, whole)
    monkeypatch.setattr("pipeline.metric._AT_ONCE", 60)  # three draws at a time
    np.testing.assert_array_equal(draw_counts(20, 50, seed=1), whole)
    np.testing.assert_allclose(drawn_mean(values, whole), mean)


@pytest.mark.parametrize("levels", [2, 5, 10_000])  # few levels: many ties
def test_each_draw_is_scored_as_the_rows_it_holds(levels):
    random = np.random.default_rng(levels)
    a, b = (random.integers(levels, size=40).astype(float) for _ in "ab")
    counts = draw_counts(40, 30, seed=0)
    drawn = [np.repeat(np.arange(40), count) for count in counts]
    np.testing.assert_allclose(drawn_spearman(a, b, counts), [spearmanr(a[i], b[i]).statistic for i in drawn], atol=1e-12)
    np.testing.assert_allclose(drawn_mean(a, counts), [a[i].mean() for i in drawn], atol=1e-12)
    relevant = b > np.median(b) if levels > 2 else b > 0
    expected = [average_precision_score(relevant[i], a[i]) for i in drawn]
    np.testing.assert_allclose(drawn_average_precision(a, relevant, counts), expected, atol=1e-12)


def test_a_draw_without_a_relevant_pair_scores_0():
    counts = np.array([[2, 0, 1], [0, 3, 0]], dtype=np.uint16)
    np.testing.assert_allclose(
        drawn_average_precision(np.array([0.3, 0.2, 0.1]), np.array([True, False, False]), counts), [1, 0]
    )
    np.testing.assert_allclose(drawn_spearman(np.arange(3.0), np.arange(3.0), counts), [1, 0])


ANY = (-np.inf, np.inf)


def test_the_interval_of_hardly_any_items_goes_no_further_than_a_score_can():
    scores = np.random.default_rng(0).uniform(0.2, 0.9, 500)
    low, high = interval(scores, 0.95, num_items=3, ends=ANY)
    assert low < -0.3
    assert high > 1.3
    assert interval(scores, 0.95, num_items=3, ends=(-0.1, 1.0)) == (-0.1, 1.0)


def test_the_interval_cuts_equal_tails():
    scores = np.random.default_rng(0).permutation(101).astype(float)
    assert interval(scores, 0.9, num_items=10**9, ends=ANY) == pytest.approx((5.0, 95.0))
    assert interval(scores, 0.5, num_items=10**9, ends=ANY) == pytest.approx((25.0, 75.0))


def test_the_interval_of_few_items_is_wider():
    scores = np.random.default_rng(0).permutation(10_001).astype(float)
    low, high = interval(scores, 0.95, num_items=10, ends=ANY)
    assert (low, high) == pytest.approx((85, 9915), abs=3)  # Phi(-sqrt(10 / 9) * 2.2622) = 0.00854


@pytest.mark.parametrize("levels", [2, 5, 10_000])  # few levels: many ties
def test_average_precision_is_sklearns_with_and_without_ties(levels):
    random = np.random.default_rng(levels)
    score, relevant = random.integers(levels, size=(20, 30)).astype(float), random.random((20, 30)) < 0.3
    expected = [average_precision_score(y, s) for y, s in zip(relevant, score, strict=True)]
    np.testing.assert_allclose(average_precision(score, relevant), expected, atol=1e-12)
    assert average_precision(np.ones(3), np.zeros(3, dtype=bool)) == 0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def mean_after(difference):
    """The mean difference after each exchange."""
    return lambda swap: np.where(swap, -difference, difference).mean(1)


@pytest.mark.parametrize("num", [13, 16])
def test_a_sampled_p_value_is_near_that_of_all_exchanges(num):
    difference = np.random.default_rng(num).normal(0.3, 1.0, size=num)
    signs = np.array(list(itertools.product([1, -1], repeat=num)))
    exact = (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9).mean()
    assert 0.01 < exact < 0.5
    found = [exchange_p(mean_after(difference), num, 4000, seed=seed) for seed in range(20)]
    assert np.mean(found) == pytest.approx(exact, rel=0.1)  # each stops at 50: 14 % of itself, 20 of them 3 %
    assert exchange_p(mean_after(difference), num, 4000, seed=1) == found[1]


@pytest.mark.parametrize(("num", "beside", "p"), [(1, 1e-12, 1.0), (1, 1e-6, 0.5), (13, 1e-12, 1.0)])
def test_differences_that_rounding_alone_tells_apart_are_equal(num, beside, p):
    """Exchanges give the opposite difference, or the same, summed in another order: a little nearer to 0."""

    def exchanged(swap):
        return np.where(swap[:, 0], -0.3, 0.3) * np.where(swap.any(1), 1 - beside, 1.0)

    assert exchange_p(exchanged, num, 1000, seed=0) == pytest.approx(p)


def test_a_p_value_is_never_0_and_as_small_as_the_exchanges_allow():
    difference = np.ones(40)
    assert exchange_p(mean_after(difference), 40, 999, seed=0) == 1 / 1000
    assert exchange_p(mean_after(difference), 40, 1999, seed=0) == 1 / 2000


def test_sampling_stops_where_chance_is_plain():
    seen = []

    def exchanged(swap):
        seen.append(len(swap))
        return np.random.default_rng(len(seen)).normal(size=len(swap))

    assert exchange_p(exchanged, 20, 100_000, seed=0) > 0.05
    assert sum(seen) <= 2001
