"""How good an encoder is at the tasks that it learns, on a few validation rows: what the best weights of a training are chosen by."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.metric import spearman
from pipeline.task import kind_of


class OwnScore:
    """The mean over tasks of each one's score: Spearman's correlation where pairs are graded, else nDCG@10 of a query's own documents
    among those of all rows. ``rows`` by task, at most ``rows_per_task`` of each, evenly spread."""

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
        own = np.array([[_answers(a, b) for b in rows] for a in rows])
        itself = np.array([[a.query == b.document for b in rows] for a in rows])
        return gain(np.where(itself, -np.inf, query_BD @ document_BD.T), own & ~itself)

    def _vectors(self, encoder: Encoder, task: str, side: str, texts: Sequence[str]) -> Float[np.ndarray, "B D"]:
        once = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        found = encoder.encode(list(once), **self.limits, title=f"validation {side}", task=task, side=side, unit=True)
        return found[[once[text] for text in texts]]


def gain(score_QD: Float[np.ndarray, "Q D"], own_QD: Bool[np.ndarray, "Q D"]) -> float:
    """nDCG@10, its mean over queries that have documents of their own; ties stand behind what is not their own. 0 where none has."""
    score_QD, own_QD = score_QD[own_QD.any(1)], own_QD[own_QD.any(1)]
    order_QD = np.lexsort((own_QD, -score_QD), axis=1)[:, :10]
    discount = 1 / np.log2(np.arange(10) + 2)
    found_Q = (np.take_along_axis(own_QD, order_QD, 1) * discount[: order_QD.shape[1]]).sum(1)
    best_Q = discount.cumsum()[np.minimum(own_QD.sum(1), 10) - 1]
    return float((found_Q / best_Q).mean()) if len(found_Q) else 0.0


def _answers(a: Row, b: Row) -> bool:
    """Does the document of ``b`` answer the query of ``a``?"""
    return a.query == b.query or a.document == b.document or (a.thing is not None and a.thing == b.thing)


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    step = max(1.0, len(rows) / most)
    return [rows[int(i * step)] for i in range(min(most, len(rows)))]
