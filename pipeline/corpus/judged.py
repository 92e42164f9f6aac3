"""Judged collections: a corpus, queries, and judgements that name a document and a query by their ids.

Judgements are where such collections are dirty: ids that no file holds, pairs judged twice. Each becomes a `Rejected`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.corpus.cells import Cells, refused
from pipeline.corpus.row import Document, Record, Rejected, Row, Split, checked_row, filled
from pipeline.corpus.task_rows import TaskRows
from pipeline.corpus.values import label_in, score_in, text_in

ID, QUERY_ID, CORPUS_ID = ("_id", "id"), ("query-id", "query_id"), ("corpus-id", "corpus_id")  # BEIR's name, then mteb's


def judged_records(
    corpus: Iterable[Cells | Rejected],
    queries: Iterable[Cells | Rejected],
    judgements: Iterable[tuple[Split, Iterable[Cells | Rejected]]],
    *,
    of: TaskRows,
    relevant_above: float,
) -> Iterator[Record]:
    """Every document of the corpus, then a row of the task ``of`` for every judgement, a judgement of 0 (not relevant) among them.

    A judgement counts as relevant above ``relevant_above``; at or below it becomes 0, which training and evaluation read alike.
    Price: the texts of the corpus and of the queries are held in memory, for a judgement may name any of them.
    """
    documents: dict[str, str] = {}
    for record in identified(corpus, documents, ID, ("title", "text")):
        yield record if isinstance(record, Rejected) else Document(document_id=record[0], document=record[1])
    questions: dict[str, str] = {}
    for record in identified(queries, questions, ID, ("text",)):
        if isinstance(record, Rejected):
            yield record
    fractional = 0
    for split, cells in judgements:
        for record in _judged_rows(cells, questions, documents, split, of, relevant_above):
            fractional += isinstance(record, Row) and record.score != int(record.score or 0)
            yield record
    if fractional:
        print(f"{fractional} judgements are fractions; above {relevant_above:g} counts as relevant (relevant_above)")


def identified(
    cells: Iterable[Cells | Rejected], texts: dict[str, str], name: Sequence[str], fields: Sequence[str]
) -> Iterator[tuple[str, str] | Rejected]:
    """(id, text) of each record, which also go into ``texts``. ``name``: columns of which one holds the id.

    ``fields`` are joined by a line end; only the last one must be there, and one that is null or empty is left out.
    """
    for record in cells:
        if isinstance(record, Rejected):
            yield record
            continue
        values = record.values
        try:
            key = _named(values, name)
            # Queries have no title and some corpora neither. A null is an absent text, as exports of tables write it.
            given = [
                field for field in fields if (field in values and values[field] is not None) or _must(values, field, fields)
            ]
            text = "\n".join(part for field in given if filled(part := text_in(values, field).strip()))
            if texts.get(key) == text:
                continue  # the same document once more, as in a folder of splits
            if key in texts:
                raise ValueError(f"{name[0]!r} {key!r} stands twice; the first one is kept")
            if not text:
                raise ValueError(f"{key!r} has an empty {' and '.join(fields)}")
        except ValueError as error:
            yield refused(record, str(error))
            continue
        texts[key] = text
        yield key, text


def _must(values: Mapping[str, object], field: str, fields: Sequence[str]) -> bool:
    return field == fields[-1] and field not in values


def _named(values: Mapping[str, object], options: Sequence[str]) -> str:
    column = next((option for option in options if option in values), options[0])
    name = label_in(values, column)
    assert name is not None
    return name


def _judged_rows(
    cells: Iterable[Cells | Rejected],
    questions: Mapping[str, str],
    documents: Mapping[str, str],
    split: Split,
    of: TaskRows,
    relevant_above: float,
) -> Iterator[Record]:
    seen: set[tuple[str, str]] = set()
    for record in cells:
        if isinstance(record, Rejected):
            yield record
            continue
        try:
            query_id, document_id = _named(record.values, QUERY_ID), _named(record.values, CORPUS_ID)
            score = score_in(record.values, "score")
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
            yield refused(record, str(error))
            continue
        seen.add((query_id, document_id))
        judged = 0.0 if score <= relevant_above else score
        row = of.row(query_id, questions[query_id], document_id, documents[document_id], judged, split)
        yield checked_row(record.file, record.line, row, lines=record.lines, size=record.size)
