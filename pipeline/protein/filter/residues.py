"""Complexes whose chains hold what is no residue of the alphabet, or are too short to fold, or too long to read.

Where chains are joined without a mark the whole side is looked at, and a short chain in it is not seen."""

from collections.abc import Sequence

from pipeline.corpus.row import CHAIN_BREAK, CHAINS, JOINED, Row, stratum
from pipeline.corpus.verdict import Fault, Verdict
from pipeline.task import kind_of


class Residues:
    """Asked of rows of proteins only. ``alphabet``: the letters a chain may hold; ``max_residues``: of a whole complex, null for any."""

    def __init__(self, *, alphabet: str, min_residues: int, max_residues: int | None) -> None:
        if min_residues < 1 or (max_residues is not None and max_residues < min_residues):
            raise ValueError(
                f"expected 1 <= min_residues <= max_residues, got {min_residues} and {max_residues}; see conf/filter/residues.yaml"
            )
        self.alphabet = frozenset(alphabet)
        self.min_residues = min_residues
        self.max_residues = max_residues

    def __call__(self, rows: Sequence[Row]) -> list[Verdict]:
        return [self._verdict(row) if kind_of(row).texts == "residues" else None for row in rows]

    def _verdict(self, row: Row) -> Verdict:
        chains = [chain for side in (row.query, row.document) for chain in side.split(CHAIN_BREAK)]
        shortest = min(map(len, chains))
        if not shortest:
            return Fault("empty chain", f"{row.group or row.query_id}")
        if strange := sorted(set().union(*chains) - self.alphabet):
            return Fault("residues outside the alphabet", "".join(strange))
        if shortest < self.min_residues:
            joined = stratum(row, CHAINS) == JOINED and shortest in (len(row.query), len(row.document))
            return Fault(f"{'side' if joined else 'chain'} under {self.min_residues} residues", f"{shortest} residues")
        total = sum(map(len, chains))
        if self.max_residues is not None and total > self.max_residues:
            return Fault(f"complex over {self.max_residues} residues", f"{total} residues")
        return None
