"""What counts as related. A chain here is what `compared` says: where chains are joined without a mark, the whole side.

A pair of chains is *related* if its best local alignment (Smith-Waterman, BLOSUM62, gap 11 + 1 a residue, as BLAST's and MMseqs2's
defaults) has at least ``identity`` identical residues a column, and spans at least ``coverage`` of the residues of the shorter chain
(``coverage_of: shorter``) or of each of the two (``both``). Of several best alignments parasail's is taken (`alignment`).
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

GAP_OPEN, GAP_EXTEND = 11, 1
ROUNDING = 1e-9  # bounds give way by it
Side: TypeAlias = Literal["both", "shorter"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is related; shares from 0 to 1."""

    identity: float
    coverage: float
    coverage_of: Side

    def spans(self, residues: tuple[int, int], left: int, right: int) -> bool:
        """Whether an alignment over so many ``residues`` of two chains, of these lengths, spans enough."""
        enough = residues[0] >= self.coverage * left - ROUNDING, residues[1] >= self.coverage * right - ROUNDING
        if self.coverage_of == "both":
            return all(enough)
        return any(enough) if left == right else enough[0] if left < right else enough[1]

    @property
    def least_ratio(self) -> float:
        """Of the lengths of two related chains, the shorter's to the longer's: an alignment has no fewer columns than it spans residues,
        and no more identical ones than the shorter chain has residues."""
        return self.identity * self.coverage if self.coverage_of == "both" else 0.0


def checked_rule(identity: float, coverage: float, coverage_of: Side) -> Rule:
    for name, value in (("identity", identity), ("coverage", coverage)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value}; write 0.30 for 30 percent")
    return Rule(identity, coverage, coverage_of)
