"""How the items of a task give its score: on draws of items, and with two models' answers exchanged.

Every evaluator is one of the two. ``items`` is what `evaluate` hands back beside its scores: an ``id`` per item, and its answers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from pipeline.corpus.collection import Encode

Items = Mapping[str, Any]
Pair = tuple[str, str, str, float]


class MeanOfItems:
    """The main score is the mean of the items' own scores, which stand under its name."""

    main: str

    def resampled(self, items: Items, index: Int[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The main score on each draw."""
        return np.asarray(items[self.main])[index].mean(-1)

    def exchanged(self, a: Items, b: Items, swap: Bool[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The difference ``a - b`` after each exchange of answers."""
        difference = np.asarray(a[self.main], dtype=float) - np.asarray(b[self.main], dtype=float)
        return (difference.sum() - 2 * swap.astype(np.float32) @ difference.astype(np.float32)) / len(difference)


class RankedPairs:
    """The main score looks at the order of the pairs' cosines alone. Before an exchange each model's cosines become ranks:
    models spread their cosines differently, and only the order counts."""

    main: str
    answer = "cosine"  # where the items hold what is ranked

    def of(self, cosine: Float[np.ndarray, "*R N"], score: Float[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
        """The main score along the last axis."""
        raise NotImplementedError

    def resampled(self, items: Items, index: Int[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The main score on each draw."""
        return self.of(np.asarray(items[self.answer])[index], np.asarray(items["score"])[index])

    def exchanged(self, a: Items, b: Items, swap: Bool[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The difference ``a - b`` after each exchange of answers."""
        first, second = rankdata(a[self.answer]), rankdata(b[self.answer])
        gold = np.broadcast_to(np.asarray(a["score"]), swap.shape)
        return self.of(np.where(swap, second, first), gold) - self.of(np.where(swap, first, second), gold)


def cosines(encode: Encode, pairs: list[Pair], *, corpus: str, task: str) -> Float[np.ndarray, " N"]:
    """Of the two texts of each pair; ValueError where a vector is no number."""
    left = encode([pair[1] for pair in pairs], "query", task)
    right = encode([pair[2] for pair in pairs], "document", task)
    cosine = (left * right).sum(-1).astype(np.float64)
    if not np.isfinite(cosine).all():
        raise ValueError(f"{corpus}: the model gives NaN for pair {int(np.argmin(np.isfinite(cosine)))}")
    return cosine


def finite(vectors: Float[np.ndarray, "B D"], what: str) -> Float[np.ndarray, "B D"]:
    """``vectors``, or a ValueError that names the first that is no number."""
    good = np.isfinite(vectors).all(1)
    if not good.all():
        raise ValueError(f"the model gives NaN or infinity for {what} {int(np.argmin(good))}; look at its training's loss")
    return vectors


def details(evaluator: Any, items: Items, section: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What an evaluator has to tell beyond its scores, where it has; ``section`` says how intervals are drawn."""
    told = getattr(evaluator, "details", None)
    return told(items, resamples=section["resamples"], confidence=section["confidence"], seed=seed) if told else {}
