"""Whole components to splits: rows tied by a group, an id, or an equal or near text never straddle two splits.

Stratified: each split shall have its share of every task and, among graded pairs, of every grade.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.near import Near
from pipeline.corpus.row import Row, Split
from pipeline.split.dealt import Dealt, deal
from pipeline.task import kind_of


class Component:
    """``tie`` says which texts tie rows together when ``neighbours`` calls them near: text, query, document, or none.

    ``validation`` and ``test`` are shares of rows of evaluated tasks. Components are dealt from the largest down, each to the split
    that is furthest below its share of what the component holds, among those with room for it whole. One with room nowhere goes to
    train, is never cut, and is reported; one with more than ``largest`` of the rows of a task that a held-out split shall have goes there
    too, unless smaller ones cannot fill it. Rows whose split the source fixed keep it; open rows tied to them follow (into train where
    the source itself straddles: contamination then takes them out). Where such a source has train but no validation rows,
    validation is taken from its train rows.
    """

    def __init__(
        self,
        *,
        validation: float,
        test: float,
        largest: float,
        seed: int,
        tie: Literal["text", "query", "document", "none"],
        neighbours: Callable[[Sequence[str]], Near],
    ) -> None:
        if min(validation, test) < 0 or validation + test >= 1:
            raise ValueError(
                f"validation and test are shares with a sum below 1, got {validation} and {test}; write 0.10 for 10 percent"
            )
        if not 0 < largest <= 1:
            raise ValueError(f"largest is a share of a split's rows in (0, 1], got {largest}; write 0.10 for 10 percent")
        self.largest = largest
        self.shares: dict[Split, float] = {"train": 1 - validation - test, "validation": validation, "test": test}
        self.seed = seed
        self.tie = tie
        self.neighbours = neighbours
        self.dealt: Dealt | None = None

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """The rows, each with a split; ``dealt`` then says how it came out."""
        component = self._components(rows)
        fixed = Counter(row.split for row in rows if row.split)
        open_splits = (None,) if fixed["validation"] or not fixed else (None, "train")
        validation = self.shares["validation"]
        two: dict[Split, float] = {"train": 1 - validation, "validation": validation}
        shares = two if fixed else self.shares
        held: dict[int, set[Split]] = {}
        for row, one in zip(rows, component.tolist(), strict=True):
            if row.split is not None and row.split not in open_splits:
                held.setdefault(one, set()).add(row.split)
        members: dict[int, list[Row]] = {}
        found: list[Row] = []
        for row, one in zip(rows, component.tolist(), strict=True):
            if row.split in open_splits and one not in held:
                members.setdefault(one, []).append(row)
        split_of, self.dealt = deal(members, shares, self.seed, largest=self.largest)
        for row, one in zip(rows, component.tolist(), strict=True):
            if row.split not in open_splits:
                found.append(row)
            elif one in held:  # a train row of a source with a test split stays train, whatever it is tied to
                follow: Split = min(held[one]) if len(held[one]) == 1 else "train"
                found.append(replace(row, split=row.split or follow))
            else:
                found.append(replace(row, split=split_of[one]))
        return found

    def _components(self, rows: Sequence[Row]) -> Int[np.ndarray, " R"]:
        texts = {"text": ("query", "document"), "query": ("query",), "document": ("document",), "none": ()}[self.tie]
        number = {text: i for i, text in enumerate(dict.fromkeys(getattr(row, side) for row in rows for side in texts))}
        cluster = self.neighbours(list(number)).components().tolist() if number else []
        names: dict[tuple[str, object], int] = {}
        left: list[int] = []
        right: list[int] = []
        for i, row in enumerate(rows):
            named = kind_of(row).shape == "labelled"  # a class stands in every split
            ends: list[tuple[str, object]] = [("query", row.query_id)]
            ends += [] if named else [("document", row.document_id)]
            ends += [("group", row.group)] if row.group is not None else []
            ends += [("near", cluster[number[getattr(row, side)]]) for side in texts if side == "query" or not named]
            for end in ends:
                left.append(i)
                right.append(len(rows) + names.setdefault(end, len(names)))
        size = len(rows) + len(names)
        edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
        return connected_components(edges, directed=False)[1][: len(rows)]
