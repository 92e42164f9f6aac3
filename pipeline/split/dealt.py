"""Whole components to splits, and how a split came out beside what was asked for."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pipeline.corpus.row import SPLITS, Row, Split
from pipeline.task import kind_of

Stratum: TypeAlias = tuple[str, float | None]  # task, grade rounded to a whole number
TOLERANCE = 0.02  # of all rows: how far a split may be from its share before that is worth a line


@dataclass(frozen=True, slots=True)
class Dealt:
    """Shares of rows of evaluated tasks, wanted and got. ``components``: what was dealt whole; ``largest``: rows in the largest;
    ``oversized``: rows of each that had room nowhere, all put into train."""

    wanted: dict[str, float]
    got: dict[str, float]
    components: int
    largest: int
    oversized: list[int]
    notes: dict[str, str | int | float] = field(default_factory=dict)  # what else a person should know of this way to split

    def report(self) -> str | None:
        """A sentence where a split is further than `TOLERANCE` from its share or a component had no room; else None."""
        off = {split: self.got[split] - share for split, share in self.wanted.items()}
        if not self.oversized and max(map(abs, off.values())) <= TOLERANCE:
            return None
        shares = ", ".join(f"{split} {self.got[split]:.3f} (wanted {share:.3f})" for split, share in self.wanted.items())
        whole = (
            f"{len(self.oversized)} with room in no split (rows: {self.oversized}), put into train whole"
            if self.oversized
            else ""
        )
        return (
            f"shares {shares}; {self.components} components, the largest of {self.largest} rows{', ' if whole else ''}{whole}"
        )


def dealt(shares: Mapping[Split, float], given: Mapping[Split, int], sizes: list[int], oversized: list[int]) -> Dealt:
    """``shares`` of all splits dealt to; ``given``: rows each got; ``sizes``: rows of every component. No rows miss no share."""
    total = sum(given.values())
    got: dict[str, float] = {split: given[split] / total if total else share for split, share in shares.items()}
    return Dealt({**shares}, got, len(sizes), max(sizes, default=0), oversized)


def most_of_a_unit(
    sizes: Mapping[str, Sequence[int]], room: Mapping[Split, Mapping[str, float]], largest: float
) -> dict[Split, dict[str, float]]:
    """How many rows of a task a unit (rows that stay together) may hold to be held out: ``largest`` of what the split shall have.

    A score of rows that are mostly one family's is that family's. Where the units below cannot fill the splits, more: the size up to
    which they can. ``sizes``: by task, the rows of each unit that has any; ``room``: rows by held-out split and task.
    """
    found: dict[Split, dict[str, float]] = {split: {} for split in room}
    for task, of_task in sizes.items():
        wanted, filled, least = sum(wants.get(task, 0.0) for wants in room.values()), 0, 0
        for size in sorted(of_task):
            if filled >= wanted:
                break
            filled, least = filled + size, size
        for split, wants in room.items():
            found[split][task] = max(largest * wants.get(task, 0.0), least)
    return found


def deal(
    members: Mapping[int, list[Row]], shares: dict[Split, float], seed: int, *, largest: float
) -> tuple[dict[int, Split], Dealt]:
    """Components (rows by number) to splits: from the largest down, each to the split furthest below its share of what it holds,
    among those with room for it whole; one with room nowhere goes to train. Stratified by task and, where graded, by grade.
    ``largest``: see `most_of_a_unit`.
    """
    needs = {one: Counter(_stratum(row) for row in rows if kind_of(row).evaluated) for one, rows in members.items()}
    total = sum(needs.values(), Counter())
    num_rows = total.total()
    room: dict[Split, float] = {split: share * num_rows for split, share in shares.items()}
    open_: dict[Split, dict[Stratum, float]] = {
        split: {s: share * n for s, n in total.items()} for split, share in shares.items()
    }
    known: list[Split] = [split for split in SPLITS if split in shares]
    by_task = {one: Counter(row.task for row in rows if kind_of(row).evaluated) for one, rows in members.items()}
    num_of_task = sum(by_task.values(), Counter())
    held_out: dict[Split, dict[str, float]] = {
        split: {task: share * n for task, n in num_of_task.items()} for split, share in shares.items() if split != "train"
    }
    sizes = {task: [of[task] for of in by_task.values() if task in of] for task in num_of_task}
    most = most_of_a_unit(sizes, held_out, largest)
    given: Counter[Split] = Counter()
    oversized: list[int] = []
    split_of: dict[int, Split] = {}

    for one in sorted(members, key=lambda one: (-needs[one].total(), _draw(members[one][0], seed))):
        need, size = needs[one], needs[one].total()
        allowed: list[Split] = [
            split for split in known if split == "train" or all(n <= most[split][task] for task, n in by_task[one].items())
        ]
        fits = _with_room(allowed, room, size, beyond=TOLERANCE * num_rows)
        if size and not fits:
            oversized.append(size)
        # How far each split is below its share of what this component holds; an empty share (0) wants nothing.
        wants: dict[Split, float] = {
            fit: sum(n * open_[fit][k] / (shares[fit] * total[k]) for k, n in need.items()) for fit in fits if shares[fit] > 0
        }
        split: Split = max(wants, key=lambda fit: (wants[fit], shares[fit])) if wants else "train"
        split_of[one] = split
        given[split] += size
        room[split] -= size
        for stratum, n in need.items():
            open_[split][stratum] -= n
    return split_of, dealt(shares, given, [need.total() for need in needs.values()], oversized)


def _draw(row: Row, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {row.query_id} {row.document_id}".encode()).digest()


def _with_room(allowed: Sequence[Split], room: Mapping[Split, float], size: int, *, beyond: float) -> list[Split]:
    """Splits that hold ``size`` more rows; else the roomiest, where no more than ``beyond`` rows stand over."""
    fits: list[Split] = [split for split in allowed if size <= room[split] + 0.5] if size else []
    roomiest: Split = max(allowed, key=lambda split: room[split])
    return fits or ([roomiest] if size and size - room[roomiest] <= beyond else [])


def _stratum(row: Row) -> Stratum:
    return row.task, None if row.score is None else float(round(row.score))
