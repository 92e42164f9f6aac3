"""Graded similarity: do cosines rank pairs as people (or the docs' authors) did? Spearman's rank correlation."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.corpus.collection import Encode, Pairs
from pipeline.evaluator.items import RankedPairs, cosines
from pipeline.metric import drawn_spearman, spearman


class Sts(RankedPairs):
    kind = "sts"
    main = "spearman"
    lowest = -1.0

    def evaluate(self, encode: Encode, collection: Pairs) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``: Spearman over all pairs, and per pair its id, cosine and gold score."""
        cosine = cosines(encode, collection.pairs, corpus=collection.corpus, task=collection.task)
        gold = [pair[3] for pair in collection.pairs]
        items = {"id": [pair[0] for pair in collection.pairs], "cosine": cosine.tolist(), "score": gold}
        return {self.main: float(self.of(cosine, np.asarray(gold)))}, items

    def of(self, cosine: Float[np.ndarray, "*R N"], score: Float[np.ndarray, "*R N"]) -> Float[np.ndarray, "*R"]:
        return spearman(cosine, score)

    def of_draws(
        self, cosine: Float[np.ndarray, " N"], score: Float[np.ndarray, " N"], counts: Int[np.ndarray, "R N"]
    ) -> Float[np.ndarray, " R"]:
        return drawn_spearman(cosine, score, counts)
