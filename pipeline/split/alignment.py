"""Exact local alignment of every chain of one list with every chain of another, and what counts as related.

A pair is *related* if its best local alignment (Smith-Waterman, BLOSUM62, gap 11 + 1 a residue, as BLAST's and MMseqs2's defaults)
has at least ``identity`` identical residues a column, and spans at least ``coverage`` of the residues of the shorter chain
(``coverage_of: shorter``) or of each of the two (``both``). Of several best alignments parasail's is taken.

Pairs that cannot be related are passed over by two bounds, each a proof:

* Composition. An alignment has at least as many columns as it spans residues of a chain, so a related pair has at least
  identity x coverage x L identical residues, L being the shorter chain's length (``both``: the longer's). Identical residues use up
  a residue of the same letter in each chain, so there are at most sum over letters of min(count in one, count in the other).
* End. The span of a chain reaches back from the alignment's last residue, so it is at most that residue's number.

Source: Smith and Waterman 1981, doi:10.1016/0022-2836(81)90087-5; parasail: Daily 2016, doi:10.1186/s12859-016-0930-z.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import parasail
from jaxtyping import Float, Int

GAP_OPEN, GAP_EXTEND = 11, 1
ROUNDING = 1e-9  # bounds give way by it
BLOCK_PAIRS = 2**21  # held in memory at a time
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

    def identical(self, left: Int[np.ndarray, " P"], right: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """Of pairs of chains of these lengths: the fewest identical residues of a related pair."""
        return self.identity * self.coverage * (np.maximum if self.coverage_of == "both" else np.minimum)(left, right)


def checked_rule(identity: float, coverage: float, coverage_of: Side) -> Rule:
    for name, value in (("identity", identity), ("coverage", coverage)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value}; write 0.30 for 30 percent")
    return Rule(identity, coverage, coverage_of)


class Pair(NamedTuple):
    """The best local alignment of two chains: identical residues a column, residues it spans of each, the two lines to show."""

    identity: float
    residues: tuple[int, int]
    lines: tuple[str, str]


class Hits(NamedTuple):
    """Pairs (``left[k]``, ``right[k]``) whose best alignment spans enough, related or not, with their ``identity``; sorted."""

    left: Int[np.ndarray, " P"]
    right: Int[np.ndarray, " P"]
    identity: Float[np.ndarray, " P"]

    def related(self, rule: Rule) -> "Hits":
        found = self.identity >= rule.identity
        return Hits(self.left[found], self.right[found], self.identity[found])


def aligned(left: str, right: str) -> Pair:
    """The pair's best alignment itself."""
    found = parasail.sw_trace_scan_sat(left, right, GAP_OPEN, GAP_EXTEND, parasail.blosum62).traceback
    over, under = found.query, found.ref
    same = np.count_nonzero(np.frombuffer(over.encode(), np.uint8) == np.frombuffer(under.encode(), np.uint8))
    spans = len(over) - over.count("-"), len(under) - under.count("-")
    return Pair(same / max(1, len(over)), spans, (over, under))


class Aligner:
    """Remembers every pair it has looked at, by text, so that a split that is mended aligns a pair once."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.number: dict[str, int] = {}
        self.chains: list[str] = []
        self.counts = letters([])
        self.lengths = np.zeros(0, np.int64)
        self.seen = np.zeros((0, 0), np.uint8)  # bit j of row i: the pair (i, j) has been looked at
        self.found: dict[tuple[int, int], float] = {}  # identity of pairs that span enough, smaller number first

    def __call__(self, left: Sequence[str], right: Sequence[str], *, workers: int) -> Hits:
        """All pairs of ``left`` with ``right``; equal texts count as a pair of identity 1."""
        left_ids, right_ids = self._numbered(left), self._numbered(right)
        others = np.unique(right_ids)
        for first in _blocks(np.unique(left_ids), max(1, BLOCK_PAIRS // max(1, len(others)))):
            fresh = [others[self._unseen(i, others)] for i in first.tolist()]
            self._look(np.repeat(first, [len(js) for js in fresh]), np.concatenate(fresh), workers)
            for i, js in zip(first.tolist(), fresh, strict=True):
                self.seen[i] |= np.packbits(np.bincount(js, minlength=self.seen.shape[1] * 8) > 0, bitorder="little")
        place: dict[int, list[int]] = {}
        for k, j in enumerate(right_ids.tolist()):
            place.setdefault(j, []).append(k)
        partners: dict[int, list[tuple[int, float]]] = {}
        for (i, j), identity in self.found.items():
            partners.setdefault(i, []).append((j, identity))
            partners.setdefault(j, []).append((i, identity))
        hits = [
            (k, at, identity)
            for k, i in enumerate(left_ids.tolist())
            for j, identity in [*partners.get(i, []), (i, 1.0)]
            for at in place.get(j, [])
        ]
        hits.sort()
        return Hits(
            np.array([hit[0] for hit in hits], np.int64),
            np.array([hit[1] for hit in hits], np.int64),
            np.array([hit[2] for hit in hits]),
        )

    def candidates(self, chains: Sequence[str], pairs: Int[np.ndarray, "P 2"], *, workers: int) -> Int[np.ndarray, "Q 2"]:
        """Those of ``pairs`` (places in ``chains``, all different) that are related."""
        ids = self._numbered(chains)[pairs]
        self._look(ids[:, 0], ids[:, 1], workers)
        identity = [self.found.get((min(i, j), max(i, j)), 0.0) for i, j in ids.tolist()]
        return pairs[np.array(identity) >= self.rule.identity] if len(pairs) else pairs

    def _numbered(self, chains: Sequence[str]) -> Int[np.ndarray, " C"]:
        fresh = [chain for chain in dict.fromkeys(chains) if chain not in self.number]
        for chain in fresh:
            self.number[chain] = len(self.number)
        if fresh:
            self.chains += fresh
            self.counts = np.concatenate([self.counts, letters(fresh)])
            self.lengths = np.concatenate([self.lengths, np.array([len(chain) for chain in fresh])])
            size = len(self.number)
            seen = np.zeros((size, (size + 7) // 8), np.uint8)
            seen[: self.seen.shape[0], : self.seen.shape[1]] = self.seen
            self.seen = seen
        return np.array([self.number[chain] for chain in chains], np.int64)

    def _unseen(self, i: int, others: Int[np.ndarray, " C"]) -> np.ndarray:
        ahead = self.seen[i, others >> 3] >> (others & 7).astype(np.uint8) & 1
        behind = self.seen[others, i >> 3] >> np.uint8(i & 7) & 1
        return ((ahead | behind) == 0) & (others != i)

    def _look(self, left: Int[np.ndarray, " P"], right: Int[np.ndarray, " P"], workers: int) -> None:
        """Aligns those pairs of numbers that the composition does not rule out, the longer chain of each as the profile: parasail
        fills the more cells a second the longer that one is."""
        possible = np.zeros(len(left), bool)
        for block in _blocks(np.arange(len(left)), BLOCK_PAIRS // 16):
            one, other = left[block], right[block]
            shared = np.minimum(self.counts[one], self.counts[other]).sum(1)
            possible[block] = shared >= self.rule.identical(self.lengths[one], self.lengths[other]) - ROUNDING
        left, right = left[possible], right[possible]
        swap = self.lengths[left] < self.lengths[right]
        longer, shorter = np.where(swap, right, left), np.where(swap, left, right)
        order = np.lexsort((shorter, longer))
        longer, shorter = longer[order], shorter[order]
        starts = np.flatnonzero(np.diff(longer, prepend=-1))
        with ThreadPoolExecutor(workers) as pool:  # parasail lets other threads run while it aligns
            for i, found in pool.map(self._row, longer[starts].tolist(), np.split(shorter, starts[1:])):
                self.found |= {(min(i, j), max(i, j)): identity for j, identity in found.items()}

    def _row(self, i: int, others: Int[np.ndarray, " C"]) -> tuple[int, dict[int, float]]:
        """Chain ``i`` with each of ``others``: who spans enough, and the identity."""
        chain, found = self.chains[i], {}
        profile = parasail.profile_create_sat(chain, parasail.blosum62)
        for j in others.tolist():
            other = self.chains[j]
            score = parasail.sw_striped_profile_sat(profile, other, GAP_OPEN, GAP_EXTEND)
            if self.rule.spans((score.end_query + 1, score.end_ref + 1), len(chain), len(other)):
                one = aligned(chain, other)
                if self.rule.spans(one.residues, len(chain), len(other)):
                    found[j] = one.identity
        return i, found


def letters(chains: Sequence[str]) -> Int[np.ndarray, "C 27"]:
    """How often each of A to Z stands in each chain, and all other letters together."""
    codes = (np.frombuffer(chain.encode(), np.uint8).astype(np.int64) - ord("A") for chain in chains)
    return np.array(
        [np.bincount(np.where((code >= 0) & (code < 26), code, 26), minlength=27) for code in codes], np.int16
    ).reshape(-1, 27)


def _blocks(these: Int[np.ndarray, " P"], size: int) -> list[Int[np.ndarray, " _"]]:
    return [these[first : first + size] for first in range(0, len(these), size)]


@cache
def aligner(rule: Rule) -> Aligner:
    """The one of this process for ``rule``."""
    return Aligner(rule)
