"""How good an encoder is at the tasks that it learns, on a few validation rows: what the best weights of a training are chosen by."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.metric import spearman
from pipeline.task import kind_of


class OwnScore:
    """The mean over tasks of each one's score: Spearman's correlation where pairs are graded, else the mean reciprocal rank of a query's
    own documents among those of all rows. ``rows`` by task, at most ``rows_per_task`` of each, evenly spread."""

    def __init__(
        self, rows: Mapping[str, Sequence[Row]], *, rows_per_task: int, max_length_tokens: int | None, batch_tokens: int
    ) -> None:
        self.rows = {task: _spread(of_task, rows_per_task) for task, of_task in rows.items() if len(of_task) > 1}
        self.limits = {"max_length_tokens": max_length_tokens, "batch_tokens": batch_tokens}

    def __call__(self, encoder: Encoder) -> float:
        return float(np.mean([self._of_task(encoder, task, rows) for task, rows in sorted(self.rows.items())]))

    def _of_task(self, encoder: Encoder, task: str, rows: Sequence[Row]) -> float:
        query_BD = self._vectors(encoder, task, "query", [row.query for row in rows])
        document_BD = self._vectors(encoder, task, "document", [row.document for row in rows])
        if not kind_of(rows[0]).answers:
            return float(spearman((query_BD * document_BD).sum(1), np.array([row.score for row in rows])))
        own = np.array([[_same(a, b) for b in rows] for a in rows])
        return reciprocal_rank(query_BD @ document_BD.T, own)

    def _vectors(self, encoder: Encoder, task: str, side: str, texts: Sequence[str]) -> Float[np.ndarray, "B D"]:
        once = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        found = encoder.encode(list(once), **self.limits, title=f"validation {side}", task=task, side=side, unit=True)
        return found[[once[text] for text in texts]]


def reciprocal_rank(score_QD: Float[np.ndarray, "Q D"], own_QD: np.ndarray) -> float:
    """The mean over queries of 1 / rank of the best of their own documents; ties stand behind what is not their own."""
    best_Q = np.where(own_QD, score_QD, -np.inf).max(1)
    rank_Q = 1 + ((score_QD >= best_Q[:, None]) & ~own_QD).sum(1)
    return float((1 / rank_Q).mean())


def _same(a: Row, b: Row) -> bool:
    """Does the document of ``b`` answer the query of ``a``?"""
    return a.query == b.query or a.document == b.document or (a.thing is not None and a.thing == b.thing)


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    step = max(1.0, len(rows) / most)
    return [rows[int(i * step)] for i in range(min(most, len(rows)))]
