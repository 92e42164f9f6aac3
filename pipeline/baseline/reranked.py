"""A search and a reranker behind it: what users have who give every query a few passes of a cross-encoder in place of a better model.

Price: ``number`` passes of the cross-encoder for each query, where an encoder has one; what the search does not find is lost.

Source: Nogueira and Cho 2019, arXiv:1901.04085, sec. 2 (BM25, then a cross-encoder).
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.corpus.collection import Collection
from pipeline.encoder.cross_encoder import check_named, logits, opened
from pipeline.task import kind_of


class Reranked:
    """``first`` finds ``number`` documents for a query; those are ordered by the logits of the cross-encoder. Pairs are cut at
    ``max_length_tokens``."""

    def __init__(
        self,
        *,
        first: Any,
        number: Annotated[int, Field(ge=1)],
        name: str,
        revision: str | None,
        sha256: str | None,
        max_length_tokens: Annotated[int, Field(gt=2)],
    ) -> None:
        check_named(name, revision, sha256)
        self.first = first
        self.number = number
        self.model = opened(name, revision, sha256, max_length_tokens)

    def answer(self, evaluator: Any, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]] | None:
        """``(scores, items)`` as ``evaluator`` gives them; None for what is no search."""
        return evaluator.judge(self.search, collection) if kind_of(collection).searched else None

    def search(self, queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
        """``(scores, rows)``, best first; row -1 where ``first`` finds no further document."""
        _, rows = self.first.search(queries, documents, self.number)
        scores = np.full(rows.shape, -np.inf)
        there = rows >= 0
        pairs = [(queries[i], documents[row]) for i, of in enumerate(rows) for row in of if row >= 0]
        if pairs:
            scores[there] = logits(self.model, pairs).numpy()
        order = np.argsort(-scores, axis=1, kind="stable")
        order = order[:, :depth]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
