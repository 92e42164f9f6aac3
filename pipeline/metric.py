"""Scores, and how far they can be trusted.

A bootstrap draws the items of a test (queries, pairs) with replacement and scores each draw; two models are compared on the
same draws. Efron and Tibshirani 1993, ch. 13 (percentile interval) and 16.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata


def spearman(a: Float[np.ndarray, "*R N"], b: Float[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
    """Rank correlation along the last axis, ties by mean rank; 0 where one side is constant."""
    x, y = (rankdata(side, axis=-1) for side in (a, b))
    x, y = (side - side.mean(-1, keepdims=True) for side in (x, y))
    spread = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.divide((x * y).sum(-1), spread, out=np.zeros_like(spread), where=spread > 0)


def draws(num_items: int, resamples: int, *, seed: int) -> Int[np.ndarray, "R N"]:
    """Item numbers of each draw; the same for equal arguments, so that models are compared on equal draws."""
    return np.random.default_rng([seed, num_items]).integers(0, num_items, size=(resamples, num_items))


def interval(scores: Float[np.ndarray, " R"], confidence: float) -> tuple[float, float]:
    """Percentile interval that holds ``confidence`` of the draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return float(low), float(high)
