"""What of a row is compared with others, and what it is called: a *chain*, or a *side* whose chains nobody marked.

Code that compares such sequences calls each of them a chain. What is written for people calls it what it is (`kind`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipeline.corpus.row import CHAIN_BREAK, CHAINS, JOINED, Row, stratum
from pipeline.task import kind_of

CHAIN, SIDE = "chains", "sides"


def chains_of(row: Row) -> list[str]:
    """The chains of both sides, of a side without marks the whole side; none of a row that holds no proteins."""
    return [*row.query.split(CHAIN_BREAK), *row.document.split(CHAIN_BREAK)] if kind_of(row).texts == "residues" else []


def different(rows: Iterable[Row]) -> list[str]:
    """Each different one of `chains_of` once, sorted."""
    return sorted({chain for row in rows for chain in chains_of(row)})


def kinds(rows: Iterable[Row]) -> dict[str, str]:
    """``chains`` or ``sides`` for each sequence of ``rows``: a side, if it stands nowhere but in rows whose chains are joined, and
    without a mark."""
    found: dict[str, str] = {}
    for row in rows:
        for side in (row.query, row.document) if kind_of(row).texts == "residues" else ():
            parts = side.split(CHAIN_BREAK)
            joined = len(parts) == 1 and stratum(row, CHAINS) == JOINED
            for one in parts:
                if not joined or one not in found:
                    found[one] = SIDE if joined else CHAIN
    return found


def by_kind(sequences: Iterable[str], kind: Mapping[str, str]) -> dict[str, int]:
    """How many of ``sequences`` are of each kind that ``kind`` knows at all."""
    counts = Counter(kind[one] for one in sequences)
    return {name: counts[name] for name in (CHAIN, SIDE) if name in kind.values()}


def called(kind: Mapping[str, str]) -> str:
    """ "chains", "sides", or "chains and sides"."""
    return " and ".join(name for name in (CHAIN, SIDE) if name in kind.values()) or CHAIN


def holding(rows: Sequence[Row], found: set[str]) -> list[bool]:
    """For each row whether it holds one of ``found``."""
    return [not found.isdisjoint(chains_of(row)) for row in rows]
