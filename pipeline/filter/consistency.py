"""Pairs whose document a model does not find for their query: mislabelled, or too far from what can be learned.

The positive must be among the ``depth`` documents nearest to its query, of all documents of the rows (Dai et al. 2022,
Promptagator, arXiv:2209.11755, section 3.2: round-trip consistency). Graded pairs are not looked at.
Price: the hardest true pairs go too, if the model is weak.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from pipeline.corpus.row import Row
from pipeline.corpus.verdict import Fault, Verdict

BLOCK_QUERIES = 512


class Consistency:
    """``model`` turns texts into unit vectors."""

    def __init__(self, *, model: Callable[[Sequence[str]], Float[np.ndarray, "B D"]], depth: int) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}; see conf/filter/consistency.yaml")
        self.model = model
        self.depth = depth

    def __call__(self, rows: Sequence[Row]) -> list[Verdict]:
        judged = [i for i, row in enumerate(rows) if row.score is None]
        found: list[Verdict] = [None] * len(rows)
        if not judged:
            return found
        query_of, queries = _numbered([rows[i].query for i in judged])
        document_of, documents = _numbered([rows[i].document for i in judged])
        query_BD, document_ND = self.model(queries), self.model(documents)
        for first in range(0, len(judged), BLOCK_QUERIES):
            at = slice(first, first + BLOCK_QUERIES)
            sim_BN = query_BD[query_of[at]] @ document_ND.T
            own_B = sim_BN[np.arange(len(sim_BN)), document_of[at]]
            for i, better in zip(judged[at], (sim_BN > own_B[:, None] + 1e-6).sum(axis=1).tolist(), strict=True):
                if better >= self.depth:
                    found[i] = Fault(f"document not among the {self.depth} nearest of its query", f"rank {better + 1}")
        return found


def _numbered(texts: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return np.array([number[text] for text in texts]), list(number)
