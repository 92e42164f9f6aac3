"""Whole groups to splits: rows of one group, or rows tied by a query or a document, never straddle two splits."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.row import Row, Split, teaches
from pipeline.split.dealt import Dealt, dealt, most_of_a_unit
from pipeline.task import kind_of


class Group:
    """Deals groups, in an order drawn from ``seed``, to test and validation while they fit, and the rest to train.

    ``validation`` and ``test`` are shares of the rows of each task that is evaluated; others are not counted. A group that does
    not fit goes to train whole, and so does one with more than ``largest`` of the rows of a task that the split shall have, unless
    smaller ones cannot fill it: scores are to be of many groups. Rows whose split the source fixed keep it, and the open rows of
    their groups follow; where such a source has train but no validation rows, validation is taken from its train rows.
    """

    def __init__(self, *, validation: float, test: float, largest: float, seed: int) -> None:
        if min(validation, test) < 0 or validation + test >= 1:
            raise ValueError(
                f"validation and test are shares with a sum below 1, got {validation} and {test}; write 0.10 for 10 percent"
            )
        if not 0 < largest <= 1:
            raise ValueError(f"largest is a share of a split's rows in (0, 1], got {largest}; write 0.10 for 10 percent")
        self.validation = validation
        self.test = test
        self.largest = largest
        self.seed = seed
        self.dealt: Dealt | None = None

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """The rows, each with a split; ``dealt`` then says how it came out."""
        fixed = Counter(row.split for row in rows if row.split)
        shares: dict[Split, float] = {"validation": self.validation}
        if not fixed:
            shares["test"] = self.test
        open_splits = (None,) if fixed["validation"] else (None, "train")
        split_of = _follow([row for row in rows if row.split is None or row.split not in open_splits])
        movable = [row for row in rows if row.split in open_splits and id(row) not in split_of]
        split_of |= self._deal(movable, shares)
        return [replace(row, split=split_of[id(row)]) if id(row) in split_of else row for row in rows]

    def _deal(self, rows: Sequence[Row], shares: dict[Split, float]) -> dict[int, Split]:
        units: dict[str, list[Row]] = {}
        for row, unit in zip(rows, unit_keys(rows), strict=True):
            units.setdefault(unit, []).append(row)
        total = Counter(row.task for row in rows if kind_of(row).evaluated)
        room: dict[Split, dict[str, float]] = {
            split: {task: share * n for task, n in total.items()} for split, share in shares.items()
        }
        needs = {unit: Counter(row.task for row in members if kind_of(row).evaluated) for unit, members in units.items()}
        room = _as_there_is(room, needs.values())
        most = most_of_a_unit(needs.values(), room, self.largest)
        split_of: dict[int, Split] = {}
        sizes: list[int] = []
        given: Counter[Split] = Counter()
        holding = Counter(task for need in needs.values() for task in need)  # how many units hold rows of a task

        def turn(
            unit: str,
        ) -> tuple[int, bytes]:  # first those of the task that fewest hold, or others would take up their room
            rarest = min((holding[task] for task in needs[unit]), default=len(units))
            return rarest, hashlib.sha256(f"{self.seed} {unit}".encode()).digest()

        for unit in sorted(units, key=turn):
            need = needs[unit]
            fits: list[Split] = [
                split
                for split in sorted(room)
                if all(min(room[split][task], most[split][task]) >= n for task, n in need.items())
            ]
            split: Split = (
                fits[0] if fits and need else "train"
            )  # a unit without rows that are evaluated would be lost elsewhere
            for task, n in need.items():
                if fits:
                    room[split][task] -= n
            sizes.append(need.total())
            given[split] += need.total()
            split_of |= {id(row): split for row in units[unit]}
        whole: dict[Split, float] = {"train": 1 - sum(shares.values()), **shares}
        self.dealt = dealt(whole, given, sizes, [n for n in sizes if n > whole["train"] * sum(sizes)])
        return split_of


def _as_there_is(room: dict[Split, dict[str, float]], needs: Collection[Counter[str]]) -> dict[Split, dict[str, float]]:
    """``room`` itself, or less where one large unit leaves too few rows in those that fit: else one split would take them all."""
    wanted = Counter(
        {task: sum(wants[task] for wants in room.values()) for task in {t for wants in room.values() for t in wants}}
    )
    highest = {task: max(wants[task] for wants in room.values()) for task in wanted}
    there = sum((need for need in needs if all(n <= highest[task] for task, n in need.items())), Counter[str]())
    scale = {task: min(1.0, there[task] / n) if n and there[task] else 1.0 for task, n in wanted.items()}
    return {split: {task: n * scale[task] for task, n in wants.items()} for split, wants in room.items()}


def _follow(rows: Sequence[Row]) -> dict[int, Split]:
    """For open rows of a group whose split is fixed: that split; train where the source itself straddles."""
    splits: dict[str, set[Split]] = {}
    for row in rows:
        if row.group is not None and row.split is not None:
            splits.setdefault(row.group, set()).add(row.split)
    open_rows = [row for row in rows if row.split is None and row.group in splits]
    return {id(row): min(found) if len(found := splits[str(row.group)]) == 1 else "train" for row in open_rows}


def unit_keys(rows: Sequence[Row]) -> list[str]:
    """For each row the name of the smallest set of rows closed under: same group, same query id, same document id.

    A row with a group is tied by its group alone: shared texts between groups are contamination, removed after the split.
    One that says what does not answer is tied by its query alone: many queries share a negative, which would tie them all.
    """
    names: dict[str, int] = {}
    left: list[int] = []
    right: list[int] = []
    for row in rows:
        ends = [f"g {row.group}"] if row.group is not None else [f"q {row.query_id}", f"d {row.document_id}"]
        if row.group is None and kind_of(row).shape == "ranked" and not teaches(row):
            del ends[1]
        nodes = [names.setdefault(end, len(names)) for end in ends]
        left.append(nodes[0])
        right.append(nodes[-1])
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(len(names), len(names)))
    _, component = connected_components(edges, directed=False)
    smallest: dict[int, str] = {}
    for name in sorted(names):
        smallest.setdefault(int(component[names[name]]), name)
    return [smallest[int(component[node])] for node in left]
