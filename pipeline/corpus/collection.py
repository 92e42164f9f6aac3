"""What an evaluator is given: a retrieval collection or a list of graded pairs, made from one split of one corpus."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from pipeline.corpus.files import read
from pipeline.corpus.row import Document, Row, Split

Encode: TypeAlias = Callable[[Sequence[str], str, str], Float[np.ndarray, "B D"]]  # texts, side, task -> unit vectors


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts by id. ``judgements[query][document]`` is a whole grade, above 0 if relevant; what is not listed is not relevant.

    ``pairs`` are the graded pairs of task ``sts``: (id, text, text, score). One of the two halves is empty.
    """

    corpus: str
    task: str
    queries: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)
    judgements: dict[str, dict[str, int]] = field(default_factory=dict)
    pairs: list[tuple[str, str, str, float]] = field(default_factory=list)


def collections(folder: Path, corpus: str, split: Split) -> list[Collection]:
    """The collections of ``corpus`` in ``split``, sorted by task; none where the split is empty. Weak rows are not evaluated."""
    rows = read(folder / corpus / f"{split}.parquet", Row)
    candidates = read(folder / corpus / "documents.parquet", Document)
    found: list[Collection] = []
    ranked = [row for row in rows if row.task == "retrieval"]
    if any(_grade(row) > 0 for row in ranked):
        found.append(_retrieval(corpus, split, ranked, candidates))
    graded = [row for row in rows if row.task == "sts"]
    if graded:
        pairs = [(f"{r.query_id}|{r.document_id}|{i}", r.query, r.document, float(r.score or 0)) for i, r in enumerate(graded)]
        found.append(Collection(corpus, "sts", pairs=pairs))
    return found


def _retrieval(corpus: str, split: Split, rows: list[Row], candidates: list[Document]) -> Collection:
    documents = {c.document_id: c.document for c in candidates if c.split in (None, split)}
    documents |= {row.document_id: row.document for row in rows}
    judgements: dict[str, dict[str, int]] = {}
    for row in rows:
        judgements.setdefault(row.query_id, {})[row.document_id] = _grade(row)
    relevant = {query for query, grades in judgements.items() if max(grades.values()) > 0}
    queries = {row.query_id: row.query for row in rows if row.query_id in relevant}
    return Collection(corpus, "retrieval", queries, documents, {query: judgements[query] for query in queries})


def _grade(row: Row) -> int:
    return 1 if row.score is None else round(row.score)
