"""Judged collections: a corpus, queries, and judgements that name a document and a query by their ids.

Judgements are where such collections are dirty: ids that no file holds, pairs judged twice. Each becomes a `Rejected`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.corpus.reading import Cells, excerpt, label_in, score_in, text_in
from pipeline.corpus.row import Document, Record, Rejected, Row, Split, checked_row
from pipeline.corpus.task_rows import TaskRows


def judged_records(
    corpus: Iterable[Cells | Rejected],
    queries: Iterable[Cells | Rejected],
    judgements: Iterable[tuple[Split, Iterable[Cells | Rejected]]],
    rows: TaskRows,
) -> Iterator[Record]:
    """Every document of the corpus, then one of ``rows`` for every judgement, a judgement of 0 (not relevant) among them.

    Price: the texts of the corpus and of the queries are held in memory, for a judgement may name any of them.
    """
    documents: dict[str, str] = {}
    for record in _identified(corpus, documents, ("title", "text")):
        yield record if isinstance(record, Rejected) else Document(document_id=record[0], document=record[1])
    questions: dict[str, str] = {}
    for record in _identified(queries, questions, ("text",)):
        if isinstance(record, Rejected):
            yield record
    for split, cells in judgements:
        yield from _judged_rows(cells, questions, documents, split, rows)


def _identified(
    cells: Iterable[Cells | Rejected], texts: dict[str, str], fields: Sequence[str]
) -> Iterator[tuple[str, str] | Rejected]:
    """(id, text) of each record, which also go into ``texts``; ``fields`` are joined by a line end, empty ones left out."""
    for record in cells:
        if isinstance(record, Rejected):
            yield record
            continue
        values = record.values
        try:
            name = label_in(values, "_id")
            # Queries have no title and some corpora neither, so only the text must be there.
            parts = [text_in(values, field).strip() for field in fields if field in values or field == "text"]
            text = "\n".join(filter(None, parts))
            assert name is not None
            if name in texts:
                raise ValueError(f"'_id' {name!r} stands twice; the first one is kept")
            if not text:
                raise ValueError(f"{name!r} has an empty {' and '.join(fields)}")
        except ValueError as error:
            yield Rejected(record.file, record.line, str(error), excerpt(str(dict(values))))
            continue
        texts[name] = text
        yield name, text


def _judged_rows(
    cells: Iterable[Cells | Rejected], questions: Mapping[str, str], documents: Mapping[str, str], split: Split, rows: TaskRows
) -> Iterator[Record]:
    seen: set[tuple[str, str]] = set()
    for record in cells:
        if isinstance(record, Rejected):
            yield record
            continue
        try:
            query_id, document_id = label_in(record.values, "query-id"), label_in(record.values, "corpus-id")
            score = score_in(record.values, "score")
            assert query_id is not None
            assert document_id is not None
            assert score is not None
            if query_id not in questions:
                raise ValueError(f"judges the query {query_id!r}, which is not among the queries (or was rejected there)")
            if document_id not in documents:
                raise ValueError(f"judges the document {document_id!r}, which is not in the corpus (or was rejected there)")
            if (query_id, document_id) in seen:
                raise ValueError(f"judges document {document_id!r} for query {query_id!r} a second time; the first one is kept")
            if score < 0:
                raise ValueError(f"score is {score}, expected 0 (not relevant) or more")
        except ValueError as error:
            yield Rejected(record.file, record.line, str(error), excerpt(str(dict(record.values))))
            continue
        seen.add((query_id, document_id))
        row = Row(rows.task, query_id, questions[query_id], document_id, documents[document_id], score, split)
        yield rows.fitted(record, checked_row(record.file, record.line, row))
