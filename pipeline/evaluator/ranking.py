"""Measures of a ranking, for all queries at once, each equal to trec_eval's: nDCG, recall, average precision, reciprocal rank.

Of documents with equal scores the last by id ranks first, as in trec_eval.

Source: Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418 (linear gain, logarithm of rank + 1, ideal order of all judged).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int


class Ranked:
    """``row_BK`` are places in ``documents`` (sorted; -1: none), ``score_BK`` their scores, in any order; grades above 0 are relevant."""

    def __init__(
        self,
        score_BK: Float[np.ndarray, "B K"],
        row_BK: Int[np.ndarray, "B K"],
        queries: Sequence[str],
        documents: Sequence[str],
        judgements: Mapping[str, Mapping[str, int]],
    ) -> None:
        num_documents = len(documents)
        row_BK = np.asarray(row_BK, dtype=np.int64)
        score_BK = np.where(row_BK >= 0, score_BK, -np.inf)
        order = np.lexsort((-row_BK, -score_BK), axis=-1)
        row_BK = np.take_along_axis(row_BK, order, axis=-1)
        self.row_BK: Int[np.ndarray, "B K"] = row_BK
        place = {document: row for row, document in enumerate(documents)}
        judged = sorted(
            (i * num_documents + place[document], max(0, grade))
            for i, query in enumerate(queries)
            for document, grade in judgements[query].items()
        )
        key, grade = np.array(judged, dtype=np.int64).reshape(-1, 2).T
        wanted = np.where(row_BK >= 0, np.arange(len(queries))[:, None] * num_documents + row_BK, -1)
        at = np.searchsorted(key, wanted).clip(max=max(0, len(key) - 1))
        self.grade_BK: Int[np.ndarray, "B K"] = np.where(key[at] == wanted, grade[at], 0) if len(key) else np.zeros_like(wanted)
        owner = key // max(1, num_documents)
        self.relevant: Int[np.ndarray, " B"] = np.bincount(owner, grade > 0, minlength=len(queries)).astype(np.int64)
        best = np.lexsort((-grade, owner))
        self.ideal = (owner, np.arange(len(key)) - np.searchsorted(owner, owner), grade[best])  # owner is sorted

    def ndcg(self, depth: int) -> Float[np.ndarray, " B"]:
        """Gain of the first ``depth`` documents over that of the best order; 0 where nothing is relevant."""
        grade = self.grade_BK[:, :depth]
        gained = (grade / np.log2(np.arange(2, grade.shape[1] + 2))).sum(1)
        owner, rank, best = self.ideal
        possible = np.bincount(owner, np.where(rank < depth, best / np.log2(rank + 2.0), 0), minlength=len(grade))
        return np.divide(gained, possible, out=np.zeros(len(grade)), where=possible > 0)

    def recall(self, depth: int) -> Float[np.ndarray, " B"]:
        """Share of the relevant documents among the first ``depth``; 0 where nothing is relevant."""
        return (self.grade_BK[:, :depth] > 0).sum(1) / np.maximum(1, self.relevant)

    def average_precision(self) -> Float[np.ndarray, " B"]:
        """Mean over the relevant documents of precision at their rank; those not ranked count 0."""
        hit = self.grade_BK > 0
        precision = hit.cumsum(1) / np.arange(1, hit.shape[1] + 1)
        return (hit * precision).sum(1) / np.maximum(1, self.relevant)

    def mrr(self, depth: int) -> Float[np.ndarray, " B"]:
        """1 / rank of the first relevant document, 0 beyond ``depth``."""
        hit = self.grade_BK[:, :depth] > 0
        return np.where(hit.any(1), 1 / (1 + hit.argmax(1)), 0.0)
