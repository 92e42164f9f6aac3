"""Complexes measured more than once: one row stays, with the mean of the measurements by the best assay there is.

Source: "Beyond Simple Concatenation", arXiv:2505.20036, and its code: rows of the best assay only, KD averaged (not its logarithm),
the first row's other values kept.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from pipeline.corpus.files import Dropped, dropped_row
from pipeline.corpus.row import CHAIN_BREAK, Row, stratum
from pipeline.dedup.exact import Exact
from pipeline.task import kind_of

REPEATED = "complex measured again"
LESSER = "complex measured again, by a lesser assay"


class Assays:
    """``priority``: assays, the best first; others count as the last of them. ``average``: of KD or of pKd. ``any_order``: chains of a
    side, and the two sides, may stand in any order. ``max_spread``: pKd between the highest and lowest measurement of a complex by
    that assay; beyond it the drop's reason says so, and ``conflicts: drop`` lets the complex go altogether.
    """

    def __init__(
        self,
        *,
        priority: Sequence[str],
        average: Literal["kd", "pkd"],
        any_order: bool,
        max_spread: float,
        conflicts: Literal["average", "drop"],
    ) -> None:
        self.rank = {name.lower(): place for place, name in enumerate(priority)}
        self.average = average
        self.any_order = any_order
        self.max_spread = max_spread
        self.conflicts = conflicts

    def __call__(self, corpus: str, rows: Sequence[Row], normal: Callable[[str], str]) -> tuple[list[Row], list[Dropped]]:
        measured = [row for row in rows if kind_of(row).shape == "complexes" and row.split not in ("validation", "test")]
        groups: dict[object, list[Row]] = {}
        for row in measured:
            groups.setdefault(self._key(row), []).append(row)
        stays: dict[int, Row] = {}
        dropped: list[Dropped] = []
        for group in groups.values():
            first, kept, gone = self._resolved(corpus, group)
            dropped += gone
            if kept is not None:
                stays[id(first)] = kept
        ours = {id(row) for row in measured}
        others, repeated = Exact()(corpus, [row for row in rows if id(row) not in ours], normal)
        return [*(stays[id(row)] for row in measured if id(row) in stays), *others], [*dropped, *repeated]

    def _key(self, row: Row) -> object:
        sides = [row.query.split(CHAIN_BREAK), row.document.split(CHAIN_BREAK)]
        if not self.any_order:
            return "".join(sides[0]), "".join(sides[1])
        return tuple(sorted(tuple(sorted(side)) for side in sides))

    def _resolved(self, corpus: str, group: list[Row]) -> tuple[Row, Row | None, list[Dropped]]:
        """The first row by the best assay, what it becomes (None: it goes, too), and the rows that go."""
        best = min(map(self._rank, group))
        counted = [row for row in group if self._rank(row) == best]
        first, values = counted[0], [row.score for row in counted if row.score is not None]
        mean = sum(values) / len(values)
        if self.average == "kd":
            mean = -math.log10(sum(10**-value for value in values) / len(values))
        kept = first if len(values) == 1 else replace(first, score=mean)
        others = [row for row in group if row is not first]
        spread = max(values) - min(values)
        if spread <= self.max_spread:
            reasons = [REPEATED if self._rank(row) == best else LESSER for row in others]
            return first, kept, [dropped_row(corpus, row, why, twin=kept) for row, why in zip(others, reasons, strict=True)]
        conflict = f"{REPEATED}, pKd apart by more than {self.max_spread:g}"
        detail = f"{spread:.2f} pKd apart over {len(values)} measurements"
        lost = group if self.conflicts == "drop" else others
        gone = [dropped_row(corpus, row, conflict, detail) for row in lost]
        return first, None if self.conflicts == "drop" else kept, gone

    def _rank(self, row: Row) -> int:
        return self.rank.get((stratum(row, "assay") or "unknown").lower(), len(self.rank))
