"""Texts of one class as pairs: what a training reads of rows that hold a text and the name of its class.

Our own design. All pairs of a class of n texts are n * n, so a training has n of them, one for each text; what is no negative of what is
decided by the class, not by these pairs (`pipeline.training.reading.Known`).
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from pipeline.corpus.row import Row
from pipeline.task import kind_of


def class_of(row: Row) -> str:
    """The name of the class: of a row as sources give it, and of a pair that `paired` made."""
    return row.thing or row.document


def paired(rows: Sequence[Row], seed: str) -> list[Row]:
    """Rows (of one task) whose texts answer one another by class, each with the next text of its class, in an order drawn from ``seed``;
    `thing` then names the class. Each text so is a query once and a document once. Rows of other kinds stay as they are.

    A text that is `alone` in its class has no answer and is left out.
    """
    if not rows or not kind_of(rows[0]).classmates:
        return list(rows)
    members: dict[str, dict[str, int]] = {}
    for i, row in enumerate(rows):
        members.setdefault(row.document, {}).setdefault(row.query, i)
    following: dict[int, Row] = {}
    for name, places in sorted(members.items()):
        order = list(places.values())
        random.Random(f"{seed} classmates {name}").shuffle(order)
        if len(order) > 1:
            following |= {i: rows[j] for i, j in zip(order, order[1:] + order[:1], strict=True)}
    return [
        replace(rows[i], document_id=mate.query_id, document=mate.query, thing=rows[i].document)
        for i, mate in sorted(following.items())
    ]


def alone(rows: Sequence[Row]) -> int:
    """How many texts are the only one of their class, and so teach nothing."""
    texts: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if kind_of(row).classmates:
            texts.setdefault((row.task, row.document), set()).add(row.query)
    return sum(len(of_class) == 1 for of_class in texts.values())
