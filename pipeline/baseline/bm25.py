"""BM25, the ranking without a model (package bm25s), in the variant of Lucene; English stop words are left out.

Source: Robertson and Zaragoza 2009, doi:10.1561/1500000019; Lù 2024, arXiv:2407.03618.
"""

from typing import Any

import bm25s
import numpy as np

from pipeline.corpus.collection import Collection
from pipeline.task import kind_of


def bm25(queries: list[str], documents: list[str], depth: int, *, k1: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """``(scores, rows)``, each ``[B, depth]``, best first; row -1 where no further document shares a word with the query."""
    depth = min(depth, len(documents))
    words: Any = bm25s.tokenize(documents, stopwords="en", show_progress=False)
    if not any(words.ids):  # no document holds a word (one letter is none): all are equally far
        return np.zeros((len(queries), depth)), np.full((len(queries), depth), -1)
    index = bm25s.BM25(method="lucene", k1=k1, b=b)
    index.index(words, show_progress=False)
    tokens = bm25s.tokenize(queries, stopwords="en", show_progress=False)
    rows, scores = index.retrieve(tokens, k=depth, show_progress=False)
    return scores, np.where(scores > 0, rows, -1)


class Bm25:
    """`bm25` as a baseline: ``k1`` saturates a word's count, ``b`` in [0, 1] says how far long documents are marked down."""

    def __init__(self, *, k1: float, b: float) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ValueError(f"expected k1 of 0 or more and b in [0, 1], got {k1} and {b}; see conf/baseline/bm25.yaml")
        self.k1 = k1
        self.b = b

    def answer(self, evaluator: Any, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]] | None:
        """``(scores, items)`` as ``evaluator`` gives them; None for what is no search."""
        return evaluator.judge(self.search, collection) if kind_of(collection).pool else None

    def search(self, queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
        return bm25(queries, documents, depth, k1=self.k1, b=self.b)
