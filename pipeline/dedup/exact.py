"""Exact duplicates: pairs that say the same, and texts that stand under several ids.

Two texts are equal if they are after Unicode NFC, with white space collapsed and, by choice, in lower case. The first
in the order given is kept; the kept text itself is not changed. Evaluation rows whose split the source fixed stay as they are.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from pipeline.corpus.files import Dropped
from pipeline.corpus.row import Row


def normalised(text: str, *, lowercase: bool) -> str:
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.lower() if lowercase else text


class Exact:
    """Drops repeated pairs and pairs of a text with itself; gives equal texts of one task one id, so that a query with several
    documents is one query with several positives."""

    def __init__(self, *, lowercase: bool) -> None:
        self.lowercase = lowercase

    def __call__(self, corpus: str, rows: Sequence[Row]) -> tuple[list[Row], list[Dropped]]:
        kept: list[Row] = []
        dropped: list[Dropped] = []
        first: dict[tuple[str, str, str], Row] = {}
        ids: dict[tuple[str, str, str], str] = {}
        for row in rows:
            if row.split in ("validation", "test"):
                kept.append(row)
                continue
            query, document = (normalised(text, lowercase=self.lowercase) for text in (row.query, row.document))
            twin = first.setdefault((row.task, query, document), row)
            if row.score is None and query == document:
                dropped.append(_dropped(corpus, row, "query equals document", ""))
            elif twin is not row:
                dropped.append(_dropped(corpus, row, "repeated pair", f"{twin.query_id} | {twin.document_id}"))
            elif row.score is None:
                query_id = ids.setdefault((row.task, "query", query), row.query_id)
                document_id = ids.setdefault((row.task, "document", document), row.document_id)
                kept.append(replace(row, query_id=query_id, document_id=document_id))
            else:
                kept.append(row)
        return kept, dropped


def _dropped(corpus: str, row: Row, reason: str, detail: str) -> Dropped:
    return Dropped(corpus, row.task, reason, detail, row.query, row.document)
