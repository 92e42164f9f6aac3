"""Exact nearest neighbours in blocks: memory is bounded by the blocks, and the result does not depend on them."""

import faiss
import numpy as np
from jaxtyping import Float, Int

_MARGIN = 8  # candidates beyond k, in case rounding puts one of the k behind
_ROUNDING = 1e-5  # by which sums of single precision, of unit vectors, may be off


def nearest(
    query: Float[np.ndarray, "B D"], document: Float[np.ndarray, "N D"], k: int, *, queries_at_once: int, documents_at_once: int
) -> tuple[Float[np.ndarray, "B K"], Int[np.ndarray, "B K"]]:
    """``(score, row)`` of the ``k`` documents (all, if there are fewer) of highest inner product, equal scores by row.

    Single precision finds the candidates, double precision orders them. Where many tie at the end, all documents are compared.
    """
    k = min(k, len(document))
    wide = min(k + _MARGIN, len(document))
    scores, rows = np.empty((len(query), k)), np.empty((len(query), k), dtype=np.int64)
    for first in range(0, len(query), queries_at_once):
        block = np.ascontiguousarray(query[first : first + queries_at_once], dtype=np.float32)
        score, row = _candidates(block, document, wide, documents_at_once)
        for i in range(len(block)):
            tied = wide < len(document) and score[i, k - 1] - score[i, -1] < _ROUNDING
            found = _at_least(block[i], document, score[i, k - 1] - _ROUNDING, documents_at_once) if tied else row[i]
            exact = document[found].astype(np.float64) @ block[i].astype(np.float64)
            order = np.lexsort((found, -exact))[:k]
            scores[first + i], rows[first + i] = exact[order], found[order]
    return scores, rows


def _candidates(query: np.ndarray, document: np.ndarray, k: int, at_once: int) -> tuple[np.ndarray, np.ndarray]:
    score = np.empty((len(query), 0), dtype=np.float32)
    row = np.empty((len(query), 0), dtype=np.int64)
    for first in range(0, len(document), at_once):
        block = np.ascontiguousarray(document[first : first + at_once], dtype=np.float32)
        new_score, new_row = faiss.knn(query, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        score, row = np.hstack([score, new_score]), np.hstack([row, new_row + first])
        order = np.argsort(-score, axis=1, kind="stable")[:, :k]
        score, row = np.take_along_axis(score, order, axis=1), np.take_along_axis(row, order, axis=1)
    return score, row


def _at_least(query: np.ndarray, document: np.ndarray, score: float, at_once: int) -> np.ndarray:
    found = [
        first + np.flatnonzero(np.asarray(document[first : first + at_once], dtype=np.float32) @ query >= score - _ROUNDING)
        for first in range(0, len(document), at_once)
    ]
    return np.concatenate(found)
