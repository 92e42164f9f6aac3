import numpy as np
import pytest

from benchmarks.over_seeds import over_seeds, over_seeds_and_items
from pipeline.metric import draw_counts, drawn_mean


def test_seeds_are_summed_up_by_a_t_interval():
    found = over_seeds([0.5, 0.6, 0.7], 0.95)
    assert found == pytest.approx((0.6, 0.6 - 4.3027 * 0.1 / 3**0.5, 0.6 + 4.3027 * 0.1 / 3**0.5, 3), abs=1e-4)
    with pytest.raises(ValueError, match="two or more, got 1"):
        over_seeds([0.5], 0.95)


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
    counts = draw_counts(num_items, 200, seed=0)
    held = narrow = 0
    for _ in range(rounds):
        effect = random.normal(0, seed * num_seeds**0.5, (num_seeds, 1)) + random.normal(0, item * num_items**0.5, num_items)
        effect = effect + random.normal(0, both * (num_seeds * num_items) ** 0.5, (num_seeds, num_items))
        mean = drawn_mean(effect.mean(0), counts)
        found = over_seeds_and_items(effect.mean(1).tolist(), mean, 0.95, num_items=num_items)
        held += found.low <= 0 <= found.high
        low, high = np.quantile(mean, [0.025, 0.975])
        narrow += low <= 0 <= high
    assert 0.93 <= held / rounds <= 0.995  # 0.95 less three and a half standard errors; the wide side is the price
    if seed >= 0.5:
        assert narrow / rounds < 0.9  # draws of the items alone, which hold the trainings fixed, are too narrow
