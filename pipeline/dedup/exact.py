"""Exact duplicates: pairs that say the same, and texts that stand under several ids.

Two texts are equal if ``normal`` makes them so; the kept text itself is not changed. Of a repeated pair the first in the
order given is kept. Evaluation rows whose split the source fixed stay as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.corpus.files import Dropped, dropped_row
from pipeline.corpus.row import Row

REPEATED = "repeated pair"


class Exact:
    """Drops repeated pairs; gives equal texts of one task one id, so that a query with several documents is one query with
    several positives."""

    def __call__(self, corpus: str, rows: Sequence[Row], normal: Callable[[str], str]) -> tuple[list[Row], list[Dropped]]:
        kept: list[Row] = []
        dropped: list[Dropped] = []
        first: dict[tuple[str, str, str], Row] = {}
        ids: dict[tuple[str, str, str], str] = {}
        for row in rows:
            if row.split in ("validation", "test"):
                kept.append(row)
                continue
            query, document = normal(row.query), normal(row.document)
            twin = first.setdefault((row.task, query, document), row)
            if twin is not row:
                dropped.append(dropped_row(corpus, row, REPEATED, twin=twin))
            elif row.score is None:
                query_id = ids.setdefault((row.task, "query", query), row.query_id)
                document_id = ids.setdefault((row.task, "document", document), row.document_id)
                kept.append(replace(row, query_id=query_id, document_id=document_id))
            else:
                kept.append(row)
        return kept, dropped
