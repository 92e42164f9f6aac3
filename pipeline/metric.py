"""Scores, and how far they can be trusted.

A bootstrap draws the items of a test (queries, pairs) with replacement and scores each draw; two models are compared on the
same draws. Items that are no independent evidence (of one family, with one text) are drawn by whole groups. A draw is written as
counts: how often each item is in it. So values are sorted once, not once for each draw.

A permutation test asks how often a difference as large comes up if the models' answers are exchanged item by item.
Efron and Tibshirani 1993, ch. 13 (percentile interval), 15 (permutation) and 16.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm, rankdata, t

ENUMERATED = 12  # differing items up to which all 2 ** 12 exchanges are looked at, so that the p-value is exact
_ENOUGH = 50  # exchanges at least as extreme after which sampling stops: the p-value is then known to a seventh of itself
_BEYOND = 5  # draws that must lie beyond a percentile, or it is no guide
_AT_ONCE = 2**22  # numbers of a block of draws or exchanges


def spearman(a: Float[np.ndarray, "*R N"], b: Float[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
    """Rank correlation along the last axis, ties by mean rank; 0 where one side is constant."""
    return _correlation(rankdata(a, axis=-1), rankdata(b, axis=-1), None)


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


def drawn_spearman(
    a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"], counts: Int[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """`spearman` on each draw."""
    return np.concatenate([_correlation(_drawn_ranks(a, block), _drawn_ranks(b, block), block) for block in _blocks(counts)])


def drawn_average_precision(
    score: Float[np.ndarray, " N"], relevant: Bool[np.ndarray, " N"], counts: Int[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """`average_precision` on each draw."""
    order = np.argsort(-score, kind="stable")
    end = np.searchsorted(-score[order], -score[order], side="right") - 1  # of its tie
    found = []
    for block in _blocks(counts):
        count = block[:, order]
        hit = count * relevant[order]
        precision = np.divide(hit.cumsum(-1)[:, end], count.cumsum(-1)[:, end], out=np.zeros_like(hit), where=hit > 0)
        total = hit.sum(-1)
        found.append(np.divide((hit * precision).sum(-1), total, out=np.zeros_like(total), where=total > 0))
    return np.concatenate(found)


def drawn_mean(values: Float[np.ndarray, " N"], counts: Int[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
    """The mean on each draw."""
    return np.concatenate([block @ values / block.sum(-1) for block in _blocks(counts)])


def _drawn_ranks(values: Float[np.ndarray, " N"], counts: Float[np.ndarray, "R N"]) -> Float[np.ndarray, "R N"]:
    """Mean rank of each value among those of each draw, from 1."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first, end = np.searchsorted(ordered, ordered), np.searchsorted(ordered, ordered, side="right")
    below = np.concatenate([np.zeros((len(counts), 1)), counts[:, order].cumsum(-1)], axis=1)
    found = np.empty_like(counts)
    found[:, order] = (below[:, first] + below[:, end] + 1) / 2
    return found


def _correlation(x: np.ndarray, y: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    weight = np.ones(1) if counts is None else counts
    total = x.shape[-1] if counts is None else counts.sum(-1, keepdims=True)
    x, y = (side - (weight * side).sum(-1, keepdims=True) / total for side in (x, y))
    spread = np.sqrt((weight * x**2).sum(-1) * (weight * y**2).sum(-1))
    return np.divide((weight * x * y).sum(-1), spread, out=np.zeros_like(spread), where=spread > 0)


def _blocks(counts: Int[np.ndarray, "R N"]) -> Iterator[Float[np.ndarray, "r N"]]:
    """A few draws at a time, in double precision."""
    rows = max(1, _AT_ONCE // counts.shape[1])
    return (counts[first : first + rows].astype(np.float64) for first in range(0, len(counts), rows))


def draw_counts(num: int, resamples: int, *, seed: int) -> Int[np.ndarray, "R N"]:
    """How often each of ``num`` things is in each draw of ``num`` of them with replacement.

    The same for equal arguments, so that models are compared on equal draws. To draw whole groups (Efron and Tibshirani 1993, sec. 8.4
    and 8.6: what is drawn must be what is independent), draw the groups and give each item the count of its group.
    """
    random = np.random.default_rng([seed, num])
    rows = max(1, _AT_ONCE // num)
    found = np.empty((resamples, num), dtype=np.uint16)
    for first in range(0, resamples, rows):
        size = min(rows, resamples - first)
        drawn = random.integers(0, num, size=(size, num)) + num * np.arange(size)[:, None]
        found[first : first + size] = np.bincount(drawn.ravel(), minlength=size * num).reshape(size, num)
    return found


def interval(
    scores: Float[np.ndarray, " R"], confidence: float, *, num_items: int, ends: tuple[float, float]
) -> tuple[float, float]:
    """Percentile interval of the draws' scores, made wider as few items ask for: drawn from ``num_items``, they scatter too little.

    Of so few that hardly a draw lies beyond, a t interval with the spread of the draws, which goes on beyond all draws, but not beyond
    ``ends``: all that a score can be.
    """
    tail = expanded_tail((1 - confidence) / 2, num_items=num_items)
    low, high = np.quantile(scores, [tail, 1 - tail])
    if tail * len(scores) < _BEYOND:
        half = expanded_t((1 - confidence) / 2, num_items=num_items) * float(scores.std())
        low, high = min(low, scores.mean() - half), max(high, scores.mean() + half)
    return max(float(low), ends[0]), min(float(high), ends[1])


def expanded_tail(tail: float, *, num_items: int) -> float:
    """The share of draws to leave out on one side, so that it is ``tail`` of new samples. ``num_items``: what was drawn from.

    That of a t distribution, expanded by n / (n - 1): Hesterberg 2015, doi:10.1080/00031305.2015.1089789, sec. 5.3.
    """
    return float(norm.cdf(-expanded_t(tail, num_items=num_items)))


def expanded_t(tail: float, *, num_items: int) -> float:
    """How many spreads of the draws a t interval goes to one side, beyond which ``tail`` of new samples lie."""
    assert num_items > 1, "one item says nothing of others"
    return float(np.sqrt(num_items / (num_items - 1)) * t.isf(tail, num_items - 1))


def exchange_p(
    exchanged: Callable[[Bool[np.ndarray, "R G"]], Float[np.ndarray, " R"]], num: int, most: int, *, seed: int
) -> float:
    """Share of exchanges that give a difference at least as large as none does, in either direction.

    ``exchanged`` gives the difference after each of several exchanges of ``num`` things: True, the two answers change places. Up to
    `ENUMERATED` things all exchanges are looked at, and the share is exact. Of more, at most ``most`` are drawn by fair coins, and no
    further ones once 50 were as extreme: the estimates are never too small (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585;
    Besag and Clifford 1991, doi:10.1093/biomet/78.2.301).
    """
    if num <= ENUMERATED:
        every = (np.arange(2**num)[:, None] >> np.arange(num) & 1).astype(bool)
        found = np.concatenate([exchanged(every[first : first + 512]) for first in range(0, len(every), 512)])
        return float(_as_extreme(found, found[0]).mean())
    random = np.random.default_rng([seed, num, 1])
    observed = float(exchanged(np.zeros((1, num), dtype=bool))[0])
    beyond = seen = 0
    while seen < most:
        size = min(500, most - seen)
        coins = np.frombuffer(random.bytes(size * num), dtype=np.uint8).reshape(size, num)
        extreme = _as_extreme(exchanged((coins & 1).astype(bool)), observed)
        if beyond + extreme.sum() >= _ENOUGH:
            return float(_ENOUGH / (seen + 1 + np.flatnonzero(extreme)[_ENOUGH - beyond - 1]))
        beyond, seen = beyond + int(extreme.sum()), seen + size
    return (1 + beyond) / (1 + seen)


def _as_extreme(found: Float[np.ndarray, " R"], observed: float) -> Bool[np.ndarray, " R"]:
    """Equal differences, summed in another order, are apart by rounding: less than 1e-10 of them, or 1e-14, as scores are 1 at most."""
    largest = max(abs(observed), float(np.abs(found).max()))
    return np.abs(found) >= abs(observed) - max(1e-10 * largest, 1e-14)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values for many comparisons at once: below alpha with probability at most alpha if none of them differs.

    Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()
