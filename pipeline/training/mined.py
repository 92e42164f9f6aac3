"""Hard negatives found by an encoder among the documents of its own training rows: a stage of its own, or before a phase."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import build
from pipeline.corpus.files import Negative, read, read_rows
from pipeline.corpus.near import Near
from pipeline.corpus.row import SPLITS, Document, Row, Split, teaches
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder


def mined(
    encoder: Encoder,
    rows: Sequence[Row],
    pool: Iterable[str],
    section: Mapping[str, Any],
    runtime: Mapping[str, Any],
    *,
    title: str,
) -> list[Negative]:
    """For the queries of ``rows`` (of one task and corpus; at most ``max_queries``, evenly spread), hardest first.

    All documents of ``rows`` and of ``pool`` are searched. What is nearly the same text as the query or as one of its answers is none, nor
    is a text of the query's class.
    """
    limits = {"max_length_tokens": section["max_length_tokens"], "batch_tokens": runtime["batch_tokens"]}
    chosen = _first_queries(rows, section["max_queries"])
    if not chosen:
        if rows:
            print(f"{title}: no negatives are mined (max_queries {section['max_queries']})")
        return []
    task = chosen[0].task
    queries, documents = sorted({row.query for row in chosen}), sorted({*pool, *(row.document for row in rows)})
    query_BD = encoder.encode(queries, **limits, title=f"mine {title}: queries", task=task, side="query", unit=True)
    document_ND = encoder.encode(documents, **limits, title=f"mine {title}: documents", task=task, side="document", unit=True)
    place = {text: i for i, text in enumerate(documents)}
    own: dict[str, set[int]] = {query: set() for query in queries}
    for row in chosen:
        own[row.query].add(place[row.document])
    twins = _twins(queries, documents, own, build(section["near"]))
    mates = _mates(rows, place)
    twins = [one | mates.get(query, set()) for query, one in zip(queries, twins, strict=True)]
    found = build(section["miner"])(query_BD, document_ND, [own[query] for query in queries], twins)
    negatives = [
        Negative(q, documents[j], rank, task) for q, js in zip(queries, found, strict=True) for rank, j in enumerate(js)
    ]
    every = len({row.query for row in rows})
    of = f" of {every} (max_queries)" if len(queries) < every else ""
    print(f"{title}: {len(negatives)} hard negatives for {len(queries)} queries{of} among {len(documents)} documents")
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


def known_rows(curated: Path, deal: str | None = None) -> dict[Split, list[Row]]:
    """By split that a training may look at, the rows of all tasks that say what answers what, as ``deal`` dealt them if given."""
    return {
        split: [row for _, row in read_rows(curated, split, deal=deal) if teaches(row)] for split in SPLITS if split != "test"
    }


def with_negatives(
    task: str, rows: list[Row], known: Mapping[str, Sequence[str]], num_negatives: int, *, needed: bool
) -> list[Row]:
    """The rows to train on: all, with as many hard negatives as they have; those that have one where an objective ``needed`` them.
    ValueError where none has."""
    least = min(num_negatives, 1) if needed else 0
    kept = [row for row in rows if len(known.get(row.query, ())) >= least]
    if rows and not kept:
        raise ValueError(
            f"task {task}: its objective learns from hard negatives alone, and no query has one; mine some (choose.recipe: standard, or "
            f"mine.max_queries: null), raise mine.miner.depth or max_ratio, or take an objective that needs none (conf/task)"
        )
    if num_negatives and known and first_process():
        have = sum(len(known.get(row.query, ())) >= num_negatives for row in kept)
        left = f"; {len(rows) - len(kept)} rows without any are left out" if len(kept) < len(rows) else ""
        print(f"{task}: {have} of {len(rows)} rows have {num_negatives} mined negatives, the others what was found{left}")
    return kept


def further_documents(curated: Path, corpus: str) -> list[str]:
    """Documents of ``corpus`` that no train row names and every split may find, but for those that say what a held-out row's document
    says: what is evaluated is nobody's negative."""
    held_out = {
        _words(row.document) for split in ("validation", "test") for row in read(curated / corpus / f"{split}.parquet", Row)
    }
    documents = read(curated / corpus / "documents.parquet", Document)
    return sorted({one.document for one in documents if one.split is None and _words(one.document) not in held_out})


def _twins(
    queries: list[str], documents: list[str], own: Mapping[str, set[int]], near: Callable[[Sequence[str]], Near]
) -> list[set[int]]:
    """For each query the documents that say what it or one of its answers says: but for letter case and white space, or nearly."""
    found = near([*documents, *queries])
    places: dict[str, set[int]] = {}
    members: dict[int, set[int]] = {}
    for i, text in enumerate(documents):
        places.setdefault(_words(text), set()).add(i)
        members.setdefault(int(found.set_of[i]), set()).add(i)
    sets = found.twins()
    twins: list[set[int]] = []
    for n, query in enumerate(queries):
        texts = [len(documents) + n, *own[query]]
        alike = [places.get(_words(query), set()), *(places[_words(documents[j])] for j in own[query])]
        for one in {int(found.set_of[i]) for i in texts}:
            alike += [members.get(other, set()) for other, _ in sets.get(one, [(one, 1.0)])]
        twins.append(set().union(*alike))
    return twins


def _mates(rows: Sequence[Row], place: Mapping[str, int]) -> dict[str, set[int]]:
    """By query the places of the documents of its class, where `pipeline.corpus.classmates.paired` made the rows."""
    of_class: dict[str, set[int]] = {}
    for row in rows:
        if row.thing is not None:
            of_class.setdefault(row.thing, set()).add(place[row.document])
    return {row.query: of_class[row.thing] for row in rows if row.thing is not None}


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _first_queries(rows: Sequence[Row], limit: int | None) -> list[Row]:
    """All rows of ``limit`` queries, spread evenly over the corpus; None: of all."""
    names = list(dict.fromkeys(row.query for row in rows))
    limit = len(names) if limit is None else limit
    step = max(1, len(names) / max(1, limit))
    chosen = {names[int(i * step)] for i in range(min(limit, len(names)))}
    return [row for row in rows if row.query in chosen]
