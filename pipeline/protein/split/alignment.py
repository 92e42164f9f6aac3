"""Exact local alignment of every chain of one list with every chain of another: which pairs are related (`rule`).

Scores of all pairs prove most of them unrelated (`screen`); parasail aligns the rest.

Source: Smith and Waterman 1981, doi:10.1016/0022-2836(81)90087-5; parasail: Daily 2016, doi:10.1186/s12859-016-0930-z.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import parasail
from jaxtyping import Bool, Float, Int

from pipeline.protein.split.rule import GAP_EXTEND, GAP_OPEN, Rule
from pipeline.protein.split.screen import may_span, may_span_among

PAIRS = 64  # aligned by a thread at a time


class Pair(NamedTuple):
    """The best local alignment of two chains: identical residues a column, residues it spans of each, the two lines to show, its score."""

    identity: float
    residues: tuple[int, int]
    lines: tuple[str, str]
    score: int


class Hits(NamedTuple):
    """Pairs (``left[k]``, ``right[k]``) whose best alignment spans enough, related or not, with their ``identity``; sorted."""

    left: Int[np.ndarray, " P"]
    right: Int[np.ndarray, " P"]
    identity: Float[np.ndarray, " P"]

    def related(self, rule: Rule) -> "Hits":
        found = self.identity >= rule.identity
        return Hits(self.left[found], self.right[found], self.identity[found])


def aligned(left: str, right: str) -> Pair:
    """The pair's best alignment itself; of several the one that parasail finds with the longer chain first (of equal lengths, the one
    that is first in the order of texts), so that it is the same for the pair turned round. Upper and lower case are one letter."""
    left, right = left.upper(), right.upper()
    turned = (-len(right), right) < (-len(left), left)
    one, other = (right, left) if turned else (left, right)
    found = parasail.sw_trace_scan_sat(one, other, GAP_OPEN, GAP_EXTEND, parasail.blosum62)
    over, under = found.traceback.query, found.traceback.ref
    same = np.count_nonzero(np.frombuffer(over.encode(), np.uint8) == np.frombuffer(under.encode(), np.uint8))
    spans = len(over) - over.count("-"), len(under) - under.count("-")
    back = slice(None, None, -1 if turned else 1)
    return Pair(same / max(1, len(over)), spans[back], (over, under)[back], found.score)


def spanning(pairs: Iterable[tuple[str, str]], rule: Rule, *, workers: int) -> Float[np.ndarray, " P"]:
    """The identity of each of ``pairs``, or -1 where its best alignment spans too little."""
    asked = list(pairs)

    def of_some(first: int) -> list[float]:
        found = []
        for left, right in asked[first : first + PAIRS]:
            one = aligned(left, right)
            found.append(one.identity if rule.spans(one.residues, len(left), len(right)) else -1.0)
        return found

    with ThreadPoolExecutor(workers) as pool:  # parasail lets other threads run while it aligns
        return np.array([one for some in pool.map(of_some, range(0, len(asked), PAIRS)) for one in some], np.float64)


class Aligner:
    """Remembers every pair it has looked at, by text, so that a split that is mended aligns a pair once."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.number: dict[str, int] = {}
        self.chains: list[str] = []
        self.seen = np.zeros((0, 0), np.uint8)  # bit j of row i: the pair (i, j) has been looked at
        self.found: dict[tuple[int, int], float] = {}  # identity of pairs that span enough, smaller number first

    def __call__(self, left: Sequence[str], right: Sequence[str], *, workers: int) -> Hits:
        """All pairs of ``left`` with ``right``; equal texts count as a pair of identity 1."""
        left_ids, right_ids = self._numbered(left), self._numbered(right)
        others = np.unique(right_ids)
        alike: dict[bytes, tuple[Int[np.ndarray, " C"], list[int]]] = {}  # chains that have the same others to be looked at
        for i in np.unique(left_ids).tolist():
            unseen = self._unseen(i, others)
            alike.setdefault(np.packbits(unseen).tobytes(), (others[unseen], []))[1].append(i)
        for theirs, own in alike.values():
            pairs = may_span(
                [self.chains[i] for i in own], [self.chains[j] for j in theirs.tolist()], self.rule, workers=workers
            )
            self._align(np.stack([np.array(own)[pairs[:, 0]], theirs[pairs[:, 1]]], axis=1), workers)
            looked = np.packbits(np.bincount(theirs, minlength=self.seen.shape[1] * 8) > 0, bitorder="little")
            self.seen[own] |= looked
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
        ids = self._numbered(chains)
        pairs = may_span_among(chains, chains, pairs, self.rule, workers=workers)
        self._align(ids[pairs], workers)
        identity = [self.found.get((min(i, j), max(i, j)), 0.0) for i, j in ids[pairs].tolist()]
        return pairs[np.array(identity) >= self.rule.identity] if len(pairs) else pairs

    def _numbered(self, chains: Sequence[str]) -> Int[np.ndarray, " C"]:
        fresh = [chain for chain in dict.fromkeys(chains) if chain not in self.number]
        for chain in fresh:
            self.number[chain] = len(self.number)
        if fresh:
            self.chains += fresh
            size = len(self.number)
            seen = np.zeros((size, (size + 7) // 8), np.uint8)
            seen[: self.seen.shape[0], : self.seen.shape[1]] = self.seen
            self.seen = seen
        return np.array([self.number[chain] for chain in chains], np.int64)

    def _unseen(self, i: int, others: Int[np.ndarray, " C"]) -> Bool[np.ndarray, " C"]:
        ahead = self.seen[i, others >> 3] >> (others & 7).astype(np.uint8) & 1
        behind = self.seen[others, i >> 3] >> np.uint8(i & 7) & 1
        return ((ahead | behind) == 0) & (others != i)

    def _align(self, pairs: Int[np.ndarray, "P 2"], workers: int) -> None:
        identity = spanning(((self.chains[i], self.chains[j]) for i, j in pairs.tolist()), self.rule, workers=workers)
        for (i, j), one in zip(pairs.tolist(), identity.tolist(), strict=True):
            if one >= 0:
                self.found[min(i, j), max(i, j)] = one


@cache
def aligner(rule: Rule) -> Aligner:
    """The one of this process for ``rule``."""
    return Aligner(rule)
