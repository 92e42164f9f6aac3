"""Pairs that mean the same or do not: does the cosine part them?

Average precision (the main score), and accuracy and F1 at the threshold that suits each best, as mteb and sentence-transformers
report them. The threshold is chosen on the same pairs, so the last two are optimistic.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.corpus.collection import Encode, Pairs
from pipeline.evaluator.items import RankedPairs, cosines
from pipeline.metric import average_precision, drawn_average_precision


class PairClassification(RankedPairs):
    kind = "pair_classification"
    main = "ap"

    def evaluate(self, encode: Encode, collection: Pairs) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``; per pair its id, cosine and class (1 means the same)."""
        gold = np.asarray([pair[3] for pair in collection.pairs])
        if not set(gold.tolist()) == {0.0, 1.0}:
            raise ValueError(
                f"{collection.corpus}: expected scores 0 (differs) and 1 (means the same), both of them, "
                f"got {sorted(set(gold.tolist()))[:5]}; graded pairs are task sts"
            )
        cosine = cosines(encode, collection.pairs, corpus=collection.corpus, task=collection.task)
        scores = {self.main: float(self.of(cosine, gold)), **best_thresholds(cosine, gold > 0)}
        return scores, {"id": [pair[0] for pair in collection.pairs], "cosine": cosine.tolist(), "score": gold.tolist()}

    def of(self, cosine: Float[np.ndarray, "*R N"], score: Float[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
        return average_precision(cosine, score > 0)

    def of_draws(
        self, cosine: Float[np.ndarray, " N"], score: Float[np.ndarray, " N"], counts: Int[np.ndarray, "R N"]
    ) -> Float[np.ndarray, " R"]:
        return drawn_average_precision(cosine, score > 0, counts)


def best_thresholds(cosine: Float[np.ndarray, " N"], same: Bool[np.ndarray, " N"]) -> dict[str, float]:
    """Accuracy and F1, each at its best threshold between two different cosines."""
    order = np.argsort(-cosine, kind="stable")
    value, hit = cosine[order], same[order]
    cut = np.flatnonzero(value[1:] != value[:-1]) + 1  # so many pairs are called the same
    right = np.cumsum(hit)[cut - 1]
    correct = right + (~same).sum() - (cut - right)
    f1 = 2 * right / (cut + same.sum())
    return {"accuracy": float(correct.max(initial=0) / len(cosine)), "f1": float(f1.max(initial=0))}
