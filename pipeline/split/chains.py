"""Looks for related chains that the split let through: every chain of one side aligned with every chain of the other, exactly.

Nothing here is shared with MMseqs2, whose search made the split. A chain that stands in both is a pair of identity 1.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from pipeline.corpus.row import Row
from pipeline.split.alignment import aligned, aligner, checked_rule
from pipeline.split.audit import BINS, Found, Leak
from pipeline.split.identity import chains_of


class Chains:
    """The rule as in the split (`alignment`). ``worst`` of what is found are the most alike pairs, related or not, shown aligned."""

    match = "chains"
    remedy = "Let the split and the audit go by the same identity, coverage and coverage_of, or choose split identity"

    def __init__(
        self, *, identity: float, coverage: float, coverage_of: Literal["both", "shorter"], workers: int, max_shown: int
    ) -> None:
        self.rule = checked_rule(identity, coverage, coverage_of)
        self.threshold = identity
        self.workers = workers
        self.max_shown = max_shown

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Found:
        """Related pairs of chains; ``nearest``: chains of ``evaluation`` by identity to the nearest that spans enough."""
        left, right = (sorted({chain for row in rows for chain in chains_of(row)}) for rows in (train, evaluation))
        hits = aligner(self.rule)(right, left, workers=self.workers)
        nearest = np.zeros(len(right))
        np.maximum.at(nearest, hits.left, hits.identity)
        counts, _ = np.histogram(nearest, bins=BINS, range=(0, 1))
        first = np.lexsort((hits.right, hits.left, -hits.identity))[: self.max_shown]
        worst: list[Leak] = []
        for k in first.tolist():
            lines = aligned(right[int(hits.left[k])], left[int(hits.right[k])]).lines
            worst.append(Leak(round(float(hits.identity[k]), 4), lines[1], lines[0]))
        highest = round(float(nearest.max()), 4) if len(nearest) else 0.0
        return Found(len(hits.related(self.rule).left), worst, counts.tolist(), highest)
