import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from pipeline.metric import (
    average_precision,
    draws,
    exchanges,
    group_draws,
    holm,
    interval,
    over_seeds,
    over_seeds_and_items,
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
    found = draws(20, 500, seed=1)
    assert found.shape == (500, 20)
    assert set(found.flatten()) == set(range(20))
    assert max(len(set(row)) for row in found) < 20
    np.testing.assert_array_equal(found, draws(20, 500, seed=1))
    assert (found != draws(20, 500, seed=2)).any()
    assert np.bincount(found.flatten(), minlength=20) == pytest.approx(500, abs=110)  # 5 sigma, sigma = sqrt(500 * 0.95)


def test_the_interval_cuts_equal_tails():
    scores = np.random.default_rng(0).permutation(101).astype(float)
    assert interval(scores, 0.9, num_items=10**9) == pytest.approx((5.0, 95.0))
    assert interval(scores, 0.5, num_items=10**9) == pytest.approx((25.0, 75.0))


def test_the_interval_of_few_items_is_wider():
    scores = np.random.default_rng(0).permutation(10_001).astype(float)
    low, high = interval(scores, 0.95, num_items=10)
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


def test_exchanges_are_fair_coins_and_the_same_for_equal_arguments():
    found = exchanges(50, 400, seed=3)
    assert found.shape == (400, 50)
    assert found.mean() == pytest.approx(0.5, abs=0.02)  # 5 sigma, sigma = 0.5 / sqrt(20000)
    np.testing.assert_array_equal(found, exchanges(50, 400, seed=3))


def test_seeds_are_summed_up_by_a_t_interval():
    found = over_seeds([0.5, 0.6, 0.7], 0.95)
    assert found == pytest.approx((0.6, 0.6 - 4.3027 * 0.1 / 3**0.5, 0.6 + 4.3027 * 0.1 / 3**0.5, 3), abs=1e-4)
    with pytest.raises(ValueError, match="two or more, got 1"):
        over_seeds([0.5], 0.95)


def test_groups_are_drawn_whole_and_as_many_as_there_are():
    groups = ["a", "b", "a", "c", "a", "b"]
    found = list(group_draws(groups, 200, seed=0))
    assert all(np.array_equal(a, b) for a, b in zip(found, group_draws(groups, 200, seed=0), strict=True))
    sizes = {"a": 3, "b": 2, "c": 1}
    times = dict.fromkeys(sizes, 0)
    for rows in found:
        counts = {group: sum(groups[i] == group for i in rows) / sizes[group] for group in sizes}
        assert sum(counts.values()) == 3
        assert all(count == int(count) for count in counts.values())
        times = {group: times[group] + int(counts[group]) for group in sizes}
    assert all(170 < count < 230 for count in times.values())  # each 200 times of 600, give or take


def test_a_claim_over_seeds_and_items_by_hand():
    """Three seeds of standard deviation 0.1, draws of variance 0.01 / 1.25: t of 2 and of 4 degrees of freedom."""
    drawn = 0.6 + np.sqrt(0.008) * np.array([1.0, -1.0])
    half = (4.30265**2 * 0.01 / 3 + 2.77645**2 * 0.01) ** 0.5
    found = over_seeds_and_items([0.5, 0.6, 0.7], drawn, 0.95, num_items=5)
    assert found[:3] == pytest.approx((0.6, 0.6 - half, 0.6 + half), abs=1e-5)
    at_zero = over_seeds_and_items([0.5, 0.6, 0.7], drawn, 1 - found.p, num_items=5)
    assert at_zero.low == pytest.approx(0, abs=1e-6)
    assert 0 < found.p < 0.05
    assert over_seeds_and_items([-0.1, 0.1], drawn - 0.6, 0.95, num_items=5).p == pytest.approx(1)
    assert over_seeds_and_items([0.0, 0.0], np.zeros(9), 0.95, num_items=5) == (0, 0, 0, 1)
    for seeds, items, message in (([0.5], 5, "two or more, got 1; run further"), ([0.5, 0.6], 1, "got 1; evaluate on more")):
        with pytest.raises(ValueError, match=message):
            over_seeds_and_items(seeds, drawn, 0.95, num_items=items)


@pytest.mark.parametrize(
    ("seed", "item", "both"), [(1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0.5, 0), (0.5, 1, 0), (0.25, 1, 0.5)],
    ids=["seeds alone", "items alone", "alike", "seeds above", "items above", "seeds that act on items"],
)  # fmt: skip
def test_intervals_over_three_seeds_and_forty_items_hold_the_truth_as_often_as_they_say(seed, item, both):
    """A known truth, 0: effects of seeds, of items and of each seed on each item, as standard deviations of the mean."""
    random, num_seeds, num_items, rounds = np.random.default_rng(0), 3, 40, 1500
    index = draws(num_items, 200, seed=0)
    held = narrow = 0
    for _ in range(rounds):
        effect = random.normal(0, seed * num_seeds**0.5, (num_seeds, 1)) + random.normal(0, item * num_items**0.5, num_items)
        effect = effect + random.normal(0, both * (num_seeds * num_items) ** 0.5, (num_seeds, num_items))
        mean = effect.mean(0)[index].mean(1)
        found = over_seeds_and_items(effect.mean(1).tolist(), mean, 0.95, num_items=num_items)
        held += found.low <= 0 <= found.high
        low, high = np.quantile(mean, [0.025, 0.975])
        narrow += low <= 0 <= high
    assert 0.93 <= held / rounds <= 0.995  # 0.95 less three and a half standard errors; the wide side is the price
    if seed >= 0.5:
        assert narrow / rounds < 0.9  # draws of the items alone, which hold the trainings fixed, are too narrow
