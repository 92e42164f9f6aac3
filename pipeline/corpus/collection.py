"""What an evaluator is given: the texts of one task, made from one split of one corpus. A class for each shape of task."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from pipeline.corpus.files import deal_folder, read
from pipeline.corpus.grouping import Tied, tied
from pipeline.corpus.row import Document, Row, Split, teaches
from pipeline.task import Kind, kind_of

Encode: TypeAlias = Callable[[Sequence[str], str, str], Float[np.ndarray, "B D"]]  # texts, side, task -> unit vectors
Pair: TypeAlias = tuple[str, str, str, float]  # id, text, text, score
Label: TypeAlias = tuple[str, str, str]  # id, text, class
FRACTIONS = 1000  # of a grade of 1, where grades are fractions


@dataclass(frozen=True, slots=True)
class Collection:
    """``kind`` None: the task is called like its kind. ``deal``: the split by which the rows were dealt again; None: the corpus' own.
    ``groups``: by the id of a query, pair or labelled text, what ties it to others (`pipeline.corpus.grouping`)."""

    corpus: str
    task: str
    _: KW_ONLY
    groups: dict[str, str] = field(default_factory=dict)
    deal: str | None = None
    kind: str | None = None

    @property
    def name(self) -> str:
        """A label for people: ``task/corpus``, of another deal ``task/corpus@deal``."""
        return f"{self.task}/{self.corpus}" + (f"@{self.deal}" if self.deal else "")

    def texts(self) -> tuple[list[str], str]:
        """The texts that are searched or compared with, each once and sorted, and their side."""
        raise NotImplementedError

    def every_text(self) -> list[str]:
        """Sorted, each once."""
        raise NotImplementedError

    def together(self) -> list[tuple[str, str]]:
        """Pairs of texts that belong together, the second of the side of `texts`; none where the rows do not say."""
        return []


@dataclass(frozen=True, slots=True)
class Judged(Collection):
    """``judgements[query][document]`` is a whole grade, above 0 if relevant (fractions are multiplied, `_grades`); what is not listed is
    not relevant."""

    queries: dict[str, str]
    documents: dict[str, str]
    judgements: dict[str, dict[str, int]]

    def texts(self) -> tuple[list[str], str]:
        return sorted(set(self.documents.values())), "document"

    def every_text(self) -> list[str]:
        return sorted({*self.queries.values(), *self.documents.values()})

    def together(self) -> list[tuple[str, str]]:
        return [
            (self.queries[query], self.documents[key])
            for query, grades in sorted(self.judgements.items())
            for key, grade in sorted(grades.items())
            if grade > 0
        ]


@dataclass(frozen=True, slots=True)
class Pairs(Collection):
    """Two texts and a score."""

    pairs: list[Pair]

    def texts(self) -> tuple[list[str], str]:
        # as mteb: of a text and its translation neither leads
        return sorted({pair[2] for pair in self.pairs}), "query" if kind_of(self).shape == "translated" else "document"

    def every_text(self) -> list[str]:
        return sorted({text for pair in self.pairs for text in pair[1:3]})

    def together(self) -> list[tuple[str, str]]:
        best = max(pair[3] for pair in self.pairs)
        return [(pair[1], pair[2]) for pair in self.pairs if pair[3] == best]


@dataclass(frozen=True, slots=True)
class Labelled(Collection):
    """Texts with their class; ``examples``: those of the train split, for kinds whose evaluator learns from them."""

    labelled: list[Label]
    examples: list[Label] = field(default_factory=list)

    def texts(self) -> tuple[list[str], str]:
        return self.every_text(), "query"

    def every_text(self) -> list[str]:
        return sorted({text for _, text, _ in self.labelled})


@dataclass(frozen=True, slots=True)
class Complexes(Collection):
    """(id, ligand, receptor, pKd) of the split; ``trained``: those of the train split; of each pair ``strata`` name what it belongs to.
    A complex has no vector of its own."""

    pairs: list[Pair]
    trained: list[Pair]
    strata: list[str]

    def texts(self) -> tuple[list[str], str]:
        return [], "document"

    def every_text(self) -> list[str]:
        return sorted({text for pair in self.pairs for text in pair[1:3]})


def collections(folder: Path, corpus: str, split: Split, *, deal: str | None = None) -> list[Collection]:
    """The collections of ``corpus`` in ``split`` (as ``deal`` dealt it, if given), sorted by task; none where the split is empty.
    ValueError where rows are of a task that nobody knows."""
    place = deal_folder(folder / corpus, deal)
    of_task: dict[str, list[Row]] = {}
    for row in read(place / f"{split}.parquet", Row):
        of_task.setdefault(row.task, []).append(row)
    found: list[Collection] = []
    for _, rows in sorted(of_task.items()):
        kind = kind_of(rows[0])
        if not kind.evaluated:
            continue
        examples = [row for row in read(place / "train.parquet", Row) if row.task == rows[0].task] if kind.examples else []
        about = {"deal": deal, "kind": rows[0].kind}
        if kind.shape == "ranked":
            candidates = read(folder / corpus / "documents.parquet", Document) if kind.pool else []
            found += _judged(corpus, split, rows, candidates, about)
        elif kind.classmates:
            found += _of_classes(corpus, rows, examples, about)
        elif kind.shape == "labelled":
            labelled = _labelled(rows)
            groups = tied({key: Tied([text], row.group) for (key, text, _), row in zip(labelled, rows, strict=True)})
            found.append(Labelled(corpus, rows[0].task, labelled, _labelled(examples), groups=groups, **about))
        elif kind.shape == "complexes":
            found.append(_complexes(corpus, place, rows, examples, about))
        else:
            pairs = _pairs(rows, kind)
            groups = tied({pair[0]: Tied(pair[1:3], row.group) for pair, row in zip(pairs, rows, strict=True)})
            found.append(Pairs(corpus, rows[0].task, pairs, groups=groups, **about))
    return found


def _pairs(rows: Sequence[Row], kind: Kind) -> list[Pair]:
    plain = 1.0 if kind.answers else 0.0
    return [
        (f"{r.query_id}|{r.document_id}|{i}", r.query, r.document, float(plain if r.score is None else r.score))
        for i, r in enumerate(rows)
    ]


def _complexes(corpus: str, place: Path, rows: list[Row], train: list[Row], about: dict[str, Any]) -> Complexes:
    """Complexes of a split, and those of train for baselines that learn from them."""
    task = rows[0].task
    unscored = sum(row.score is None for row in (*rows, *train))
    if unscored:
        raise ValueError(f"{place}: expected a score on every row of task {task}, {unscored} have none")
    pairs, trained = (_pairs(of, kind_of(rows[0])) for of in (rows, train))
    groups = {pair[0]: row.group or pair[0] for row, pair in zip(rows, pairs, strict=True)}
    return Complexes(corpus, task, pairs, trained, [row.strata or "" for row in rows], groups=groups, **about)


def checked_judgements(collection: Judged) -> None:
    """ValueError unless there is a document, every query is judged, and every judgement names a document that is there."""
    if not collection.documents:
        raise ValueError(
            f"{collection.corpus}: expected documents to search, found none; look at data/curated/{collection.corpus}"
        )
    missing = sorted(set(collection.queries) - set(collection.judgements))
    if missing or not collection.queries:
        raise ValueError(f"{collection.corpus}: queries without a judgement: {missing[:3] or 'there are none at all'}")
    unknown = sorted({d for grades in collection.judgements.values() for d in grades} - set(collection.documents))
    if unknown:
        raise ValueError(
            f"{collection.corpus}: judgements name documents that are not there: {unknown[:3]}; "
            f"give their texts, or take these {len(unknown)} out of the judgements"
        )


def without_twins(collection: Judged) -> Judged:
    """Documents of equal text as one, under the first of their ids and the highest of their grades; the same object where none are equal.

    A model cannot tell them apart, so it must not matter which of the ids was judged, and a text that is found is found once.
    """
    first: dict[str, str] = {}
    for document in sorted(collection.documents):
        first.setdefault(collection.documents[document], document)
    if len(first) == len(collection.documents):
        return collection
    judgements: dict[str, dict[str, int]] = {}
    for query, grades in collection.judgements.items():
        merged = judgements.setdefault(query, {})
        for document, grade in grades.items():
            one = first[collection.documents[document]]
            merged[one] = max(grade, merged.get(one, grade))
    return replace(collection, documents={document: text for text, document in first.items()}, judgements=judgements)


def _judged(corpus: str, split: Split, rows: list[Row], candidates: list[Document], about: dict[str, Any]) -> list[Judged]:
    """None where no query has a relevant document."""
    if not any(map(teaches, rows)):
        return []
    given = [(c.document_id, c.document) for c in candidates if c.split in (None, split)]
    documents = _by_id(corpus, "document", [*given, *((row.document_id, row.document) for row in rows)])
    judgements: dict[str, dict[str, int]] = {}
    for row, grade in zip(rows, _grades(rows), strict=True):
        judgements.setdefault(row.query_id, {})[row.document_id] = grade
    relevant = {query for query, grades in judgements.items() if max(grades.values()) > 0}
    queries = _by_id(corpus, "query", ((row.query_id, row.query) for row in rows if row.query_id in relevant))
    answers: dict[str, list[str]] = {}
    named: dict[str, str] = {}
    for row in rows:
        if row.query_id in queries and teaches(row):
            answers.setdefault(row.query_id, [row.query]).append(row.document)
            if row.group is not None:
                named.setdefault(row.query_id, row.group)
    groups = tied({query: Tied(texts, named.get(query)) for query, texts in answers.items()})
    judged = {query: judgements[query] for query in queries}
    return [Judged(corpus, rows[0].task, queries, documents, judged, groups=groups, **about)]


def _of_classes(corpus: str, rows: Sequence[Row], train: Sequence[Row], about: dict[str, Any]) -> list[Judged]:
    """Texts of the split, each searched among the train texts, of which those of its class are relevant; no text without one, which a
    line says; none where all are."""
    members: dict[str, dict[str, int]] = {}
    for row in train:
        members.setdefault(row.document, {})[row.query_id] = 1
    asked = [row for row in rows if row.document in members]
    if len(asked) < len(rows):
        print(
            f"{corpus}: {len(rows) - len(asked)} of {len(rows)} texts are of a class that has no train text, and are not scored"
        )
    if not asked:
        return []
    queries = _by_id(corpus, "query", ((row.query_id, row.query) for row in asked))
    documents = _by_id(corpus, "document", ((row.query_id, row.query) for row in train))
    judgements: dict[str, dict[str, int]] = {}
    for row in asked:  # a text may be of several classes
        judgements.setdefault(row.query_id, {}).update(members[row.document])
    groups = tied({row.query_id: Tied([row.query], row.group) for row in asked})
    return [Judged(corpus, rows[0].task, queries, documents, judgements, groups=groups, **about)]


def _by_id(corpus: str, kind: str, texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The first text of each id. Curation gives texts that differ in letter case or white space alone one id."""
    found: dict[str, str] = {}
    for key, text in texts:
        if found.setdefault(key, text) != text and found[key].casefold().split() != text.casefold().split():
            raise ValueError(
                f"{corpus}: the {kind} id {key!r} stands for two texts: {found[key][:60]!r} and {text[:60]!r}; "
                "ids must be unique in the source"
            )
    return found


def _labelled(rows: Sequence[Row]) -> list[Label]:
    return [(f"{row.query_id}|{i}", row.query, row.document) for i, row in enumerate(rows)]


def _grades(rows: Sequence[Row]) -> list[int]:
    """Whole numbers, above 0 where the row teaches. Fractions are multiplied: gains of nDCG are linear, so it stays what it was."""
    scores = [1.0 if row.score is None else row.score for row in rows]
    parts = 1 if all(score == round(score) for score in scores) else FRACTIONS
    return [max(round(score * parts), int(score > 0)) for score in scores]
