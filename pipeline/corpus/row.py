"""The one schema every source is normalised to.

A corpus is a stream of `Row` (a query, a document, perhaps a score), `Document` (a candidate that no row names) and
`Rejected` (what could not become a row, where it stood, and why). Sources yield them; ingest writes them to Parquet.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
WEAK = "weak"  # the task of cheap pairs: trained on, never evaluated
LABELLED = ("classification", "clustering")  # their `document` is the name of a class, no text of its own


@dataclass(frozen=True, slots=True)
class Row:
    """One judged pair.

    ``task`` names what the pair teaches and how it is scored: ``retrieval`` (document answers query), ``sts`` (score is a
    graded similarity, any finite scale) or ``weak`` (a cheap pair for pretraining only). Evaluated only: ``pair_classification``
    (score 1: means the same, 0: does not), ``reranking`` (the documents of a query are its candidates, score above 0: relevant),
    ``bitext`` (document is the translation), ``classification`` and ``clustering`` (document is the name of the query's class).
    ``score`` is None for a plain positive.
    ``split`` is None where curation may choose; ``group`` ties rows that must end in one split.
    """

    task: str
    query_id: str
    query: str
    document_id: str
    document: str
    score: float | None = None
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A retrieval candidate. ``split`` None: a candidate wherever the corpus is evaluated."""

    document_id: str
    document: str
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input record that is not a row: ``file`` (relative), ``line`` (from 1; 0 if none), a reason for a person, the text."""

    file: str
    line: int
    reason: str
    text: str = ""


Record: TypeAlias = Row | Document | Rejected


def checked_row(file: str, line: int, row: Row) -> Row | Rejected:
    """``row`` itself, or why it cannot be one: an empty text, a score that is not finite, an unknown split."""
    for name in ("query", "document"):
        text = getattr(row, name)
        if not text.strip():
            return Rejected(file, line, f"empty {name}", f"{row.query} | {row.document}"[:200])
    if row.score is not None and not math.isfinite(row.score):
        return Rejected(file, line, f"score is {row.score}, expected a finite number", row.query[:200])
    if row.split is not None and row.split not in SPLITS:
        return Rejected(file, line, f"split is {row.split!r}, expected one of {', '.join(SPLITS)}", row.query[:200])
    return row
