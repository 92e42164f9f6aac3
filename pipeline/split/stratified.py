"""Queries to splits, each document's in the same shares: for many questions with few answers, or rows that are all of one group.

Such rows are tied by their answers, so whole groups cannot be dealt. Here documents and groups stand in every split, and what is held out
is how they are asked for: scores are of new questions about known answers, and say nothing of documents that the model never saw.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.row import SPLITS, Row, Split
from pipeline.split.dealt import Dealt, dealt
from pipeline.task import kind_of


class Stratified:
    """``validation`` and ``test`` are shares of the rows of evaluated tasks, of each document as nearly as whole rows allow.

    Rows with one query (its id or its text) go to one split, that of the source where it names one. Where the source gave train but no
    validation rows, validation is taken from its train rows.
    """

    def __init__(self, *, validation: float, test: float, seed: int) -> None:
        if min(validation, test) < 0 or validation + test >= 1:
            raise ValueError(
                f"validation and test are shares with a sum below 1, got {validation} and {test}; write 0.10 for 10 percent"
            )
        self.shares: dict[Split, float] = {"train": 1 - validation - test, "validation": validation, "test": test}
        self.seed = seed
        self.dealt: Dealt | None = None

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """The rows, each with a split; ``dealt`` then says how it came out."""
        fixed = Counter(row.split for row in rows if row.split)
        validation = self.shares["validation"]
        two: dict[Split, float] = {"train": 1 - validation, "validation": validation}
        shares = two if fixed else self.shares
        open_splits = (None,) if fixed["validation"] else (None, "train")
        units: dict[int, list[Row]] = {}
        for row, query in zip(rows, _queries(rows).tolist(), strict=True):
            units.setdefault(query, []).append(row)
        given: Counter[Split] = Counter()
        sizes: list[int] = []
        split_of: dict[int, Split] = {}
        known: set[int] = set()  # units of which the source held a row out: its train rows stay what they are
        for unit in sorted(units, key=lambda unit: self._turn(units[unit])):
            held = {row.split for row in units[unit] if row.split and row.split not in open_splits}
            size = sum(kind_of(row).evaluated for row in units[unit])
            if held:
                split_of[unit] = next(split for split in SPLITS if split in held)
                known |= {id(row) for row in units[unit] if row.split}
                continue
            total = sum(given.values()) + size
            # a unit without rows that are evaluated would be lost elsewhere
            split_of[unit] = max(shares, key=lambda split: shares[split] * total - given[split]) if size else "train"
            given[split_of[unit]] += size
            sizes.append(size)
        self.dealt = dealt(shares, given, sizes, [])
        whole = {id(row): split_of[unit] for unit, members in units.items() for row in members}
        return [
            replace(row, split=whole[id(row)]) if row.split in open_splits and id(row) not in known else row for row in rows
        ]

    def _turn(self, unit: Sequence[Row]) -> tuple[str, str, bytes]:
        """Units of one task and document follow each other, in an order drawn from the seed: shares are kept along the whole row."""
        task, document = min((row.task, row.document if kind_of(row).answers else "") for row in unit)
        return task, document, hashlib.sha256(f"{self.seed} {min(row.query for row in unit)}".encode()).digest()


def _queries(rows: Sequence[Row]) -> Int[np.ndarray, " R"]:
    """For each row the number of its query: equal ids, and equal texts, are one."""
    names: dict[tuple[str, str], int] = {}
    left = [names.setdefault(("id", row.query_id), len(names)) for row in rows]
    right = [names.setdefault(("text", row.query), len(names)) for row in rows]
    edges = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(len(names), len(names)))
    return connected_components(edges, directed=False)[1][left] if rows else np.zeros(0, np.int64)
