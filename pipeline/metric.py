"""Scores, and how far they can be trusted.

A bootstrap draws the items of a test (queries, pairs) with replacement and scores each draw; two models are compared on the
same draws. A permutation test asks how often a difference as large comes up if the models' answers are exchanged item by item.
Efron and Tibshirani 1993, ch. 13 (percentile interval), 15 (permutation) and 16.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from scipy.stats import norm, rankdata, t


def spearman(a: Float[np.ndarray, "*R N"], b: Float[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
    """Rank correlation along the last axis, ties by mean rank; 0 where one side is constant."""
    x, y = (rankdata(side, axis=-1) for side in (a, b))
    x, y = (side - side.mean(-1, keepdims=True) for side in (x, y))
    spread = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.divide((x * y).sum(-1), spread, out=np.zeros_like(spread), where=spread > 0)


def average_precision(score: Float[np.ndarray, "*R N"], relevant: Bool[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
    """Mean, over the relevant, of precision down to their score (equal scores count together); 0 where nothing is relevant."""
    order = np.argsort(-score, axis=-1, kind="stable")
    ranked, hit = np.take_along_axis(score, order, -1), np.take_along_axis(relevant, order, -1).astype(float)
    num = ranked.shape[-1]
    last = np.concatenate([ranked[..., 1:] != ranked[..., :-1], np.ones((*ranked.shape[:-1], 1), dtype=bool)], axis=-1)
    end = np.flip(np.minimum.accumulate(np.flip(np.where(last, np.arange(num), num), -1), axis=-1), -1)  # of its tie
    precision = np.take_along_axis(hit.cumsum(-1), end, -1) / (end + 1)
    total = hit.sum(-1)
    return np.divide((hit * precision).sum(-1), total, out=np.zeros_like(total), where=total > 0)


def draws(num_items: int, resamples: int, *, seed: int) -> Int[np.ndarray, "R N"]:
    """Item numbers of each draw; the same for equal arguments, so that models are compared on equal draws."""
    return np.random.default_rng([seed, num_items]).integers(0, num_items, size=(resamples, num_items))


def group_draws(groups: Sequence[str], resamples: int, *, seed: int) -> Iterator[Int[np.ndarray, " n"]]:
    """Item numbers of each draw where whole groups are drawn, as many as there are: items of one group resemble each other.

    Efron and Tibshirani 1993, sec. 8.4 and 8.6: what is drawn must be what is independent.
    """
    of_group: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        of_group.setdefault(group, []).append(i)
    members = [np.asarray(of_group[group]) for group in sorted(of_group)]
    for drawn in draws(len(members), resamples, seed=seed):
        yield np.concatenate([members[g] for g in drawn])


def exchanges(num_items: int, resamples: int, *, seed: int) -> Bool[np.ndarray, "R N"]:
    """Whether two models' answers to an item change places, by fair coins; the same for equal arguments."""
    coins = np.random.default_rng([seed, num_items, 1]).bytes(resamples * num_items)
    return (np.frombuffer(coins, dtype=np.uint8) & 1).astype(bool).reshape(resamples, num_items)


def interval(scores: Float[np.ndarray, " R"], confidence: float, *, num_items: int) -> tuple[float, float]:
    """Percentile interval of the draws' scores, made wider as few items ask for: drawn from ``num_items``, they scatter too little.

    The tails are those of a t distribution, expanded by n / (n - 1): Hesterberg 2015, doi:10.1080/00031305.2015.1089789, sec. 5.3.
    """
    tail = (1 - confidence) / 2
    if num_items > 1:
        tail = float(norm.cdf(np.sqrt(num_items / (num_items - 1)) * t.ppf(tail, num_items - 1)))
    low, high = np.quantile(scores, [tail, 1 - tail])
    return float(low), float(high)


def p_value(observed: float, under_null: Float[np.ndarray, " R"]) -> float:
    """Share of exchanges with a difference at least as large, in either direction, the observed one counted in (so never 0)."""
    beyond = np.abs(under_null) >= abs(observed) - 1e-12  # sums in another order differ by rounding
    return float((1 + beyond.sum()) / (1 + len(under_null)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values for many comparisons at once: below alpha with probability at most alpha if none of them differs.

    Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


class OverSeeds(NamedTuple):
    """A score over trainings that differ in their seed alone."""

    mean: float
    low: float
    high: float
    num_seeds: int


def over_seeds(scores: Sequence[float], confidence: float) -> OverSeeds:
    """Mean and t interval over ``scores``, one per seed: where the mean over all seeds lies, on these very test items.

    ValueError below two seeds.
    """
    if len(scores) < 2:
        raise ValueError(f"an interval over seeds needs two or more, got {len(scores)}; run further seeds")
    values = np.asarray(scores, dtype=float)
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return OverSeeds(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half, len(values))


class Claim(NamedTuple):
    """A difference over trainings and test items, with an interval and a two-sided p-value for both to be drawn anew."""

    value: float
    low: float
    high: float
    p: float


def over_seeds_and_items(
    by_seed: Sequence[float], drawn: Float[np.ndarray, " R"], confidence: float, *, num_items: int
) -> Claim:
    """What a further training, on further items, can be expected to show. ``by_seed``: the difference of each training on all items;
    ``drawn``: the mean over the trainings on each draw of items (of ``num_items``, or as many groups), all trainings on the same draw.

    Two parts of the error are independent: that of the few trainings, a t interval over their values, and that of the items, a t
    interval with the spread of the draws. Half the width is the root of the sum of their squared half widths, each with its own
    quantile. So it is exact where one part is all there is, also for three trainings (quantile 4.30), and never too narrow between:
    95 % intervals hold the truth in 95 to 99 % of simulated cases (tests/test_metric.py). Drawing trainings with replacement would be
    too narrow by far: of three, a draw holds but two different ones on average. What each training does to single items is in both
    parts, which errs on the wide side. ValueError below two trainings.

    Source: Zou and Donner 2008, doi:10.1002/sim.3095 (MOVER: limits of a sum from the limits of its parts).
    """
    mean, _, _, num_seeds = over_seeds(by_seed, confidence)
    if num_items < 2:
        raise ValueError(f"an interval over items needs two or more, got {num_items}; evaluate on more")
    of_items = float(np.var(drawn)) * num_items / (num_items - 1)  # draws scatter too little by so much
    spread = [(float(np.var(by_seed, ddof=1)) / num_seeds, num_seeds - 1), (of_items, num_items - 1)]

    def half(tail: float) -> float:
        return float(np.sqrt(sum(t.isf(tail / 2, free) ** 2 * variance for variance, free in spread)))

    width = half(1 - confidence)
    reaches = half(1e-12) > abs(mean)  # p: at one less it, the interval just touches 0
    p = float(brentq(lambda tail: half(tail) - abs(mean), 1e-12, 1.0)) if reaches else float(mean == 0)  # pyright: ignore[reportArgumentType]
    return Claim(mean, mean - width, mean + width, p)
