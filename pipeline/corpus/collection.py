"""What an evaluator is given: the texts of one task, made from one split of one corpus."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from pipeline.corpus.files import control_folder, read
from pipeline.corpus.grouping import Tied, tied
from pipeline.corpus.row import LABELLED, RANKED, Document, Row, Split, teaches

Encode: TypeAlias = Callable[[Sequence[str], str, str], Float[np.ndarray, "B D"]]  # texts, side, task -> unit vectors
PAIRED = ("sts", "pair_classification", "bitext")
AFFINITY = "affinity"
FRACTIONS = 1000  # of a grade of 1, where grades are fractions


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts by id. ``judgements[query][document]`` is a whole grade, above 0 if relevant (fractions are multiplied, `_grades`); what is not
    listed is not relevant.

    ``pairs``: (id, text, text, score), of tasks that compare two texts. ``labelled``: (id, text, class), and ``examples`` the same
    of the train split, for a probe. Of task ``affinity``, whose pairs are (id, ligand, receptor, pKd): ``trained``, the train
    split's pairs; of each pair ``strata`` name what it belongs to. What a task has no use for is empty.

    ``groups``: by the id of a query, pair or labelled text, what ties it to others (`pipeline.corpus.grouping`).

    ``control``: the deal that all this is of; None: the corpus' own split.
    """

    corpus: str
    task: str
    queries: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)
    judgements: dict[str, dict[str, int]] = field(default_factory=dict)
    pairs: list[tuple[str, str, str, float]] = field(default_factory=list)
    labelled: list[tuple[str, str, str]] = field(default_factory=list)
    examples: list[tuple[str, str, str]] = field(default_factory=list)
    trained: list[tuple[str, str, str, float]] = field(default_factory=list)
    strata: list[str] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    control: str | None = None

    @property
    def name(self) -> str:
        """What scores are kept by: ``task/corpus``, of a control ``task/corpus@control``."""
        return f"{self.task}/{self.corpus}" + (f"@{self.control}" if self.control else "")


def collections(folder: Path, corpus: str, split: Split, *, control: str | None = None) -> list[Collection]:
    """The collections of ``corpus`` in ``split`` (as ``control`` dealt it, if given), sorted by task; none where the split is empty.
    Weak rows are not evaluated."""
    place = control_folder(folder / corpus, control)
    rows = read(place / f"{split}.parquet", Row)
    found: list[Collection] = []
    for task in RANKED:
        ranked = [row for row in rows if row.task == task]
        if any(map(teaches, ranked)):
            candidates = read(folder / corpus / "documents.parquet", Document) if task == "retrieval" else []
            found.append(_ranked(corpus, task, split, ranked, candidates))
    for task in PAIRED:
        paired = [row for row in rows if row.task == task]
        if paired:
            pairs = [
                (
                    f"{r.query_id}|{r.document_id}|{i}",
                    r.query,
                    r.document,
                    1.0 if r.score is None and task != "sts" else r.score or 0.0,
                )
                for i, r in enumerate(paired)
            ]
            groups = tied({pair[0]: Tied(pair[1:3], row.group) for pair, row in zip(pairs, paired, strict=True)})
            found.append(
                Collection(corpus, task, pairs=[(key, a, b, float(score)) for key, a, b, score in pairs], groups=groups)
            )
    for task in LABELLED:
        labelled = _labelled(rows, task)
        if labelled:
            examples = _labelled(read(place / "train.parquet", Row), task) if task == "classification" else []
            named = [row.group for row in rows if row.task == task]
            groups = tied({key: Tied([text], group) for (key, text, _), group in zip(labelled, named, strict=True)})
            found.append(Collection(corpus, task, labelled=labelled, examples=examples, groups=groups))
    found += _affinity(place, corpus, split) if any(row.task == AFFINITY for row in rows) else []
    return sorted((replace(one, control=control) for one in found), key=lambda collection: collection.task)


def _affinity(folder: Path, corpus: str, split: Split) -> list[Collection]:
    """Complexes of ``split``, and those of train for baselines that learn from them."""
    rows, train = ([row for row in read(folder / f"{part}.parquet", Row) if row.task == AFFINITY] for part in (split, "train"))
    unscored = sum(row.score is None for row in (*rows, *train))
    if unscored:
        raise ValueError(f"{folder}: expected a score on every row of task {AFFINITY}, {unscored} have none")
    pairs, trained = (
        [(f"{r.query_id}|{r.document_id}|{i}", r.query, r.document, float(r.score or 0.0)) for i, r in enumerate(given)]
        for given in (rows, train)
    )
    strata = [row.strata or "" for row in rows]
    groups = {pair[0]: row.group or pair[0] for row, pair in zip(rows, pairs, strict=True)}
    found = Collection(corpus, AFFINITY, pairs=pairs, trained=trained, strata=strata, groups=groups)
    return [found] if rows else []


def checked_judgements(collection: Collection) -> None:
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


def _ranked(corpus: str, task: str, split: Split, rows: list[Row], candidates: list[Document]) -> Collection:
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
    return Collection(corpus, task, queries, documents, judged, groups=groups)


def _by_id(corpus: str, kind: str, texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, text in texts:
        if found.setdefault(key, text) != text:
            raise ValueError(
                f"{corpus}: the {kind} id {key!r} stands for two texts: {found[key][:60]!r} and {text[:60]!r}; "
                "ids must be unique in the source"
            )
    return found


def _labelled(rows: list[Row], task: str) -> list[tuple[str, str, str]]:
    return [(f"{row.query_id}|{i}", row.query, row.document) for i, row in enumerate(r for r in rows if r.task == task)]


def _grades(rows: Sequence[Row]) -> list[int]:
    """Whole numbers, above 0 where the row teaches. Fractions are multiplied: gains of nDCG are linear, so it stays what it was."""
    scores = [1.0 if row.score is None else row.score for row in rows]
    parts = 1 if all(score == round(score) for score in scores) else FRACTIONS
    return [max(round(score * parts), int(score > 0)) for score in scores]
