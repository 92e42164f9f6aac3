"""Whether curation left the rows that a run cannot do without, and what became of those that it did not."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.corpus.classmates import alone
from pipeline.corpus.dropped import DroppedRows
from pipeline.corpus.files import Dropped
from pipeline.corpus.records import coded, is_in, joined, of_kinds, tallied, teaching
from pipeline.corpus.row import SPLITS, Row, Split
from pipeline.curation.data import HELD_OUT, CuratedData
from pipeline.split.group import units

FEW_UNITS = 50  # validation units below which it is told what they cannot show
ONE_SIDED = 1.645  # standard errors of a lower bound of 95 %
SPREAD = 0.25  # our choice: how far the difference of two models' scores commonly varies from query to query
SMALL_UNIT = 0.05  # of all rows: where no unit of tied rows is smaller, there are too few of them to fill a held-out split


SHARED = "`set: {curate.contamination: query, curate.audit.match: query}` keeps them: scores then are of new questions about known answers"
STRATIFIED = (
    "take `choose: {split: stratified}` and `set: {curate.contamination: query, curate.audit.match: query}`: scores then are of new "
    "questions about known answers"
)


def sharing_a_document(dropped: DroppedRows) -> list[Dropped]:
    """The train rows that went because a held-out row has their document, and another query."""
    reasons = [f"text of a {split} row" for split in HELD_OUT]
    given_away = dropped.where(is_in(dropped.columns["reason"], reasons))
    return [row for row in given_away if row.document == row.twin_document and row.query != row.twin_query]


def _tied(data: CuratedData) -> str:
    """What to do where no unit of tied rows is small enough for a held-out split; empty where some are."""
    every = joined(Row, list(data.rows.values()))
    rows = every.where(of_kinds(every, lambda kind: kind.evaluated))
    sizes = np.bincount(units(rows)[0]).tolist()
    if not len(rows) or min(sizes) <= max(1, SMALL_UNIT * len(rows)):  # single rows are tied to nothing
        return ""
    return (
        f"rows that share a group, a query or a document are tied and go to one split, and the {len(rows)} rows are {len(sizes)} such "
        f"units, the smallest of {min(sizes)} (many questions with few answers, say). Name validation rows yourself (columns.split), or "
        f"{STRATIFIED}"
    )


def _way_out(data: CuratedData, lacking: Split) -> str:
    """What helps where no row is left in a split."""
    named = ", ".join(f"{n} {split}" for split, n in data.named.items())
    if lacking == "train" and data.named and not data.named["train"]:
        return (
            f"the sources name the split of {named} rows and none of them train, and a run trains: add a corpus with rows to train on, or "
            "leave `split` and columns.split out, and rows are dealt to all splits"
        )
    if lacking == "test" and data.named and not data.named["test"]:
        return (
            f"the sources name the split of {named} rows and none of them test: add a corpus with `split: test`, or leave `split` and "
            "columns.split out, and rows are dealt to all splits"
        )
    shared = sum(len(sharing_a_document(of_corpus)) for of_corpus in data.dropped.values())
    if lacking == "train" and 2 * shared > data.named["train"]:
        keep = SHARED if data.named["validation"] else STRATIFIED  # validation would have to be dealt out of tied rows
        return f"{shared} went because their document stands in a held-out row, too; where questions share documents by design, {keep}"
    if tied := _tied(data):
        return tied
    if sum(map(len, data.rows.values())) and lacking != "train":
        return f"bring more different rows, or raise curate.split.{lacking}"
    return "bring more different rows, or loosen conf/curate.yaml"


def _tell_irrelevant(data: CuratedData) -> None:
    """Test rows without one that says what is relevant give no score, and nobody would miss it."""
    for corpus, rows in data.rows.items():
        judged = rows.where(is_in(rows.columns["split"], ["test"]) & of_kinds(rows, lambda kind: kind.shape == "ranked"))
        relevant = tallied(judged.where(teaching(judged)).columns["task"])
        for task, n in sorted(tallied(judged.columns["task"]).items()):
            if task not in relevant:
                print(f"{corpus}: of the {n} test rows of task {task} none is judged relevant, so they give no score")


def check_rows(data: CuratedData, known: Mapping[str, Mapping[str, Any]]) -> None:
    """ValueError where a split that the run cannot do without is empty, with what became of the rows. ``known``: the tasks of the run."""
    every = joined(Row, list(data.rows.values()))
    left = Counter(tallied(every.columns["split"]))
    gone = Counter(
        tallied(pa.concat_arrays([pa.array([], pa.large_string()), *(of.columns["reason"] for of in data.dropped.values())]))
    )
    fate = f"of {left.total() + gone.total()} records {left.total()} are left ({', '.join(f'{n} {split}' for split, n in left.items())})"
    fate += f", {', '.join(f'{n} went as {reason!r}' for reason, n in gone.most_common())}" if gone else ""
    trains = any(one["learned"] for one in known.values())
    if trains and not left["train"]:
        raise ValueError(f"curation left no train row: {fate}; {_way_out(data, 'train')}")
    if trains and not left["validation"]:
        raise ValueError(
            f"curation left no validation row, and models are chosen by these: {fate}; {_way_out(data, 'validation')}"
        )
    if not left["test"]:
        raise ValueError(
            f"curation left no test row, and what a model is worth is measured on these: {fate}; {_way_out(data, 'test')}"
        )
    _tell_irrelevant(data)
    of = {split: every.where(is_in(every.columns["split"], [split])) for split in SPLITS}
    if single := alone(list(of["train"].where(of_kinds(of["train"], lambda kind: kind.classmates)))):
        print(f"{single} train texts are alone in their class and teach nothing")
    tasks = {split: set(coded(rows.columns["task"])[1]) for split, rows in of.items()}
    if lacking := sorted(task for task, one in known.items() if one["learned"] and task not in tasks["train"]):
        raise ValueError(
            f"curation left no train row of task {' and '.join(lacking)}, which an expert or a phase learns: {fate}; bring more different "
            f"rows, or take what learns it out of params.yaml"
        )
    scored = set(coded(every.where(of_kinds(every, lambda kind: kind.evaluated)).columns["task"])[1])
    for task in sorted(scored & tasks["train"] - tasks["test"]):
        print(f"{task}: rows to train on, and no test row in any corpus: no score will say what they are worth")
    for task in sorted(scored & tasks["train"] - tasks["validation"]):
        print(f"{task}: rows to train on, and no validation row in any corpus: no model is chosen by them")
    for task in sorted(scored & tasks["train"] & tasks["validation"]):
        num_units = len(units(of["validation"].where(is_in(of["validation"].columns["task"], [task])))[1])
        if num_units < FEW_UNITS:
            gain = ONE_SIDED * SPREAD / math.sqrt(num_units)
            print(
                f"{task}: validation rows of {num_units} units that are tied by group, query or document: a gain below about {gain:.2f} "
                f"cannot be told from chance by them; bring more rows, or raise curate.split.validation"
            )
