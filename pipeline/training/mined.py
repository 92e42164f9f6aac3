"""Hard negatives found by an encoder among the documents of its own training rows: a stage of its own, or before a phase."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import build
from pipeline.corpus.files import Negative, read_rows
from pipeline.corpus.row import SPLITS, Row, Split, teaches
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder


def mined(
    encoder: Encoder, rows: Sequence[Row], section: Mapping[str, Any], runtime: Mapping[str, Any], *, title: str
) -> list[Negative]:
    """For the queries of ``rows`` (of one task and corpus; at most ``max_queries``, evenly spread), hardest first."""
    limits = {"max_length_tokens": section["max_length_tokens"], "batch_tokens": runtime["batch_tokens"]}
    chosen = _first_queries(rows, section["max_queries"])
    if not chosen:
        return []
    task = chosen[0].task
    queries, documents = sorted({row.query for row in chosen}), sorted({row.document for row in chosen})
    query_BD = encoder.encode(queries, **limits, title=f"mine {title}: queries", task=task, side="query", unit=True)
    document_ND = encoder.encode(documents, **limits, title=f"mine {title}: documents", task=task, side="document", unit=True)
    place = {text: i for i, text in enumerate(documents)}
    own: dict[str, set[int]] = {query: set() for query in queries}
    for row in chosen:
        own[row.query].add(place[row.document])
    copies = _copies(queries, documents, own)
    found = build(section["miner"])(query_BD, document_ND, [own[query] for query in queries], copies)
    negatives = [
        Negative(q, documents[j], rank, task) for q, js in zip(queries, found, strict=True) for rank, j in enumerate(js)
    ]
    print(f"{title}: {len(negatives)} hard negatives for {len(queries)} queries among {len(documents)} documents")
    return negatives


def by_query(negatives: Sequence[Negative]) -> dict[str, dict[str, list[str]]]:
    """By task, the documents of each query, hardest first."""
    found: dict[str, dict[str, list[str]]] = {}
    for negative in sorted(negatives, key=lambda n: (n.query, n.rank)):
        found.setdefault(negative.task, {}).setdefault(negative.query, []).append(negative.document)
    return found


def with_given(rows: Sequence[Row], found: Sequence[Negative]) -> list[Negative]:
    """What a person judged irrelevant (the ``rows``, of one task, that do not teach), then what was ``found``, by query; each text once."""
    both: dict[str, dict[str, None]] = {}
    told = [(row.query, row.document) for row in rows if not teaches(row)]
    for query, text in [*told, *((one.query, one.document) for one in sorted(found, key=lambda one: (one.query, one.rank)))]:
        both.setdefault(query, {})[text] = None
    return [Negative(query, text, rank, rows[0].task) for query in sorted(both) for rank, text in enumerate(both[query])]


def known_rows(curated: Path) -> dict[Split, list[Row]]:
    """By split that a training may look at, the rows of all tasks that say what answers what."""
    return {split: [row for _, row in read_rows(curated, split) if teaches(row)] for split in SPLITS if split != "test"}


def with_negatives(task: str, rows: list[Row], known: Mapping[str, Sequence[str]], num_negatives: int) -> list[Row]:
    """The rows that have the hard negatives asked for; ValueError where there is none."""
    kept = [row for row in rows if len(known.get(row.query, ())) >= num_negatives]
    if rows and not kept:
        most = max((len(known.get(row.query, ())) for row in rows), default=0)
        raise ValueError(
            f"task {task}: num_negatives is {num_negatives}, but no query has more than {most} mined negatives; "
            f"raise mine.miner.num_negatives or depth, or lower num_negatives (conf/task/{task}.yaml)"
        )
    if len(kept) < len(rows) and first_process():
        print(f"{task}: {len(kept)} of {len(rows)} rows have {num_negatives} mined negatives and are trained on")
    return kept


def _copies(queries: list[str], documents: list[str], own: Mapping[str, set[int]]) -> list[set[int]]:
    """For each query the documents that say what it or one of its answers says, but for letter case and white space."""
    places: dict[str, set[int]] = {}
    for i, text in enumerate(documents):
        places.setdefault(_words(text), set()).add(i)
    return [
        set().union(*(places.get(_words(text), set()) for text in (query, *(documents[j] for j in own[query]))))
        for query in queries
    ]


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _first_queries(rows: Sequence[Row], limit: int) -> list[Row]:
    """All rows of ``limit`` queries, spread evenly over the corpus."""
    names = list(dict.fromkeys(row.query for row in rows))
    step = max(1, len(names) / limit)
    chosen = {names[int(i * step)] for i in range(min(limit, len(names)))}
    return [row for row in rows if row.query in chosen]
