"""How the items of a task give its score: on draws of items, and with two models' answers exchanged.

Every evaluator is one of the two. ``items`` is what `evaluate` hands back beside its scores: an ``id`` per item, and its answers;
`grouped` adds the ``group`` of each. ``first``, for the report to show, is what the model chose: the id of a document or pair, or a class.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from pipeline.corpus.collection import Collection, Encode
from pipeline.metric import draw_counts, drawn_mean, interval

Items = Mapping[str, Any]
Pair = tuple[str, str, str, float]


class MeanOfItems:
    """The main score is the mean of the items' own scores, which stand under its name.

    ``sampled``: the items are a sample of what the task is about, so that their draws say how sure a score is. ``lowest`` and
    ``highest`` are the ends of the main score.
    """

    main: str
    sampled = True
    lowest, highest = 0.0, 1.0

    def resampled(self, items: Items, counts: Int[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The main score on each draw; ``counts`` say how often an item is in it."""
        return drawn_mean(np.asarray(items[self.main], dtype=np.float64), counts)

    def merits(self, items: Items) -> Float[np.ndarray, " N"]:
        """How well each item is answered; higher is better."""
        return np.asarray(items[self.main], dtype=np.float64)

    def differing(self, a: Items, b: Items) -> Bool[np.ndarray, " N"]:
        """At which items an exchange of the two models' answers changes anything."""
        return np.asarray(a[self.main], dtype=np.float64) != np.asarray(b[self.main], dtype=np.float64)

    def rare_loss(self, a: Items, b: Items) -> float:
        """What one more item might lose: as much as any differs, all there is to lose where none does."""
        difference = np.asarray(a[self.main], dtype=np.float64) - np.asarray(b[self.main], dtype=np.float64)
        return float(np.abs(difference).max()) or self.highest - self.lowest

    def exchanged(self, a: Items, b: Items, swap: Bool[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The difference ``a - b`` after each exchange of answers."""
        difference = np.asarray(a[self.main], dtype=np.float64) - np.asarray(b[self.main], dtype=np.float64)
        return (difference.sum() - 2 * (swap.astype(np.float64) @ difference)) / len(difference)


class RankedPairs:
    """The main score looks at the order of the pairs' cosines alone. Before an exchange each model's cosines become ranks:
    models spread their cosines differently, and only the order counts."""

    main: str
    answer = "cosine"  # where the items hold what is ranked
    sampled = True
    lowest, highest = 0.0, 1.0

    def of(self, cosine: Float[np.ndarray, "*R N"], score: Float[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
        """The main score along the last axis."""
        raise NotImplementedError

    def of_draws(
        self, cosine: Float[np.ndarray, " N"], score: Float[np.ndarray, " N"], counts: Int[np.ndarray, "R N"]
    ) -> Float[np.ndarray, " R"]:
        """The main score on each draw."""
        raise NotImplementedError

    def resampled(self, items: Items, counts: Int[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The main score on each draw; ``counts`` say how often an item is in it."""
        return self.of_draws(np.asarray(items[self.answer], dtype=np.float64), np.asarray(items["score"]), counts)

    def merits(self, items: Items) -> Float[np.ndarray, " N"]:
        """How well each pair is placed: 1, less the share of all places by which the model's order puts it elsewhere than its score
        does. Pairs of equal scores may stand in any order."""
        place = rankdata(items[self.answer])
        first, last = (rankdata(items["score"], method) for method in ("min", "max"))
        return 1 - np.maximum(0, np.maximum(first - place, place - last)) / max(1, len(place) - 1)

    def differing(self, a: Items, b: Items) -> Bool[np.ndarray, " N"]:
        """At which items an exchange of the two models' answers changes anything."""
        return rankdata(a[self.answer]) != rankdata(b[self.answer])

    def rare_loss(self, a: Items, b: Items) -> float:
        """None: a cosine that moves moves the ranks of others, so losses are not rare."""
        return 0.0

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


def grouped(items: Items, collection: Collection) -> dict[str, Any]:
    """``items`` with the ``group`` of each, as the collection ties them; where items are no texts of it, each is its own."""
    return {**items, "group": [collection.groups.get(key, key) for key in items["id"]]}


def item_counts(groups: list[str], counts: Int[np.ndarray, "R G"]) -> Int[np.ndarray, "R N"]:
    """How often each item is in a draw of groups; ``counts`` of the sorted names of ``groups``."""
    return counts[:, np.unique(groups, return_inverse=True)[1]]


def summary(evaluator: Any, items: Items, section: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What stands beside a score: its interval over draws of whole groups, how many items and groups there are, and what the evaluator
    has to tell beyond. ``section`` says how intervals are drawn. A single group gives no interval: all that a score can be."""
    num_groups = len(set(items["group"]))
    low, high = evaluator.lowest, evaluator.highest
    if num_groups > 1:
        counts = item_counts(items["group"], draw_counts(num_groups, section["resamples"], seed=seed))
        drawn = evaluator.resampled(items, counts)
        low, high = interval(drawn, section["confidence"], num_items=num_groups, ends=(low, high))
    details = getattr(evaluator, "details", None)
    limits = {"resamples": section["resamples"], "confidence": section["confidence"], "seed": seed}
    more = details(items, **limits) if details else {}
    return {"low": low, "high": high, "num_items": len(items["id"]), "num_groups": num_groups, **more}
