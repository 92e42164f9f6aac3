"""Rows to splits at random, whatever they share: the control that shows what leakage is worth, never a split to report."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from pipeline.corpus.row import Row, Split
from pipeline.split.dealt import Dealt, dealt


class Random:
    """``validation`` and ``test`` are shares of the rows; the order is drawn from ``seed`` and what a row says."""

    def __init__(self, *, validation: float, test: float, seed: int) -> None:
        if min(validation, test) < 0 or validation + test >= 1:
            raise ValueError(
                f"validation and test are shares with a sum below 1, got {validation} and {test}; write 0.10 for 10 percent"
            )
        self.shares: dict[Split, float] = {"test": test, "validation": validation}
        self.seed = seed
        self.dealt: Dealt | None = None

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        drawn = sorted(range(len(rows)), key=lambda i: _drawn(self.seed, rows[i]))
        found: list[Split] = ["train"] * len(rows)
        first = 0
        for split, share in self.shares.items():
            last = first + round(share * len(rows))
            for i in drawn[first:last]:
                found[i] = split
            first = last
        shares: dict[Split, float] = {"train": 1 - sum(self.shares.values()), **self.shares}
        self.dealt = dealt(shares, {split: found.count(split) for split in shares}, [1] * len(rows), [])
        return [replace(row, split=split) for row, split in zip(rows, found, strict=True)]


def _drawn(seed: int, row: Row) -> bytes:
    return hashlib.sha256(f"{seed} {row.query_id} {row.document_id} {row.score}".encode()).digest()
