"""Looks for related chains that the split let through: every chain of one side aligned with every chain of the other, exactly.

Nothing here is shared with MMseqs2, whose search made the split, and nothing that the split's own aligner remembers is used: pairs,
bounds and bookkeeping are done anew. Shared is what `alignment` says of a single pair. A chain that stands in both is a pair of
identity 1.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import parasail
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from pipeline.corpus.row import Row
from pipeline.split.alignment import GAP_EXTEND, GAP_OPEN, ROUNDING, Rule, aligned, checked_rule
from pipeline.split.audit import BINS, Found, Leak, Reached
from pipeline.split.identity import chains_of

WORD = 3  # residues of the words by which a chain's likely relatives are found first
BLOCK_CHAINS = 256  # whose words are compared with train's at a time
PROMISING = 32  # chains of most words in common, which are aligned one by one before all others


class Spanning(NamedTuple):
    """Pairs (``held[k]``, ``train[k]``), sorted, whose best alignment spans enough, related or not."""

    held: Int[np.ndarray, " P"]
    train: Int[np.ndarray, " P"]
    identity: Float[np.ndarray, " P"]


class Chains:
    """The rule as in the split (`alignment`). ``worst`` of what is found are the most alike pairs, related or not, shown aligned."""

    match = things = "chains"
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
        left, right = _different(train), _different(evaluation)
        pairs = spanning(right, left, self.rule, workers=self.workers)
        nearest = np.zeros(len(right))
        np.maximum.at(nearest, pairs.held, pairs.identity)
        counts, _ = np.histogram(nearest, bins=BINS, range=(0, 1))
        worst: list[Leak] = []
        for k in np.lexsort((pairs.train, pairs.held, -pairs.identity))[: self.max_shown].tolist():
            lines = aligned(right[int(pairs.held[k])], left[int(pairs.train[k])]).lines
            worst.append(Leak(round(float(pairs.identity[k]), 4), lines[1], lines[0]))
        highest = round(float(nearest.max()), 4) if len(nearest) else 0.0
        return Found(int((pairs.identity >= self.rule.identity).sum()), worst, counts.tolist(), highest)

    def reached(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Reached:
        """Chains of ``evaluation`` with a related one in train: each is aligned only until the first is found, the likely ones first."""
        left, right = _different(train), _different(evaluation)
        near = self._near(left, right)
        related = {chain for chain, one in zip(right, near.tolist(), strict=True) if one}
        return Reached(len(right), len(related), [not related.isdisjoint(chains_of(row)) for row in evaluation])

    def _near(self, train: Sequence[str], held: Sequence[str]) -> Bool[np.ndarray, " H"]:
        known = set(train)
        near = np.array([chain in known for chain in held], bool)

        def likely(one: tuple[int, list[int]]) -> bool:
            return any(_related(asked[one[0]], train[j], self.rule) for j in one[1])

        open_ = np.flatnonzero(~near)
        asked = [held[i] for i in open_.tolist()]
        with ThreadPoolExecutor(self.workers) as pool:
            near[open_] = list(pool.map(likely, enumerate(_promising(asked, train))))
        open_ = np.flatnonzero(~near)
        rest = spanning([held[i] for i in open_.tolist()], train, self.rule, workers=self.workers)
        near[open_[rest.held[rest.identity >= self.rule.identity]]] = True
        return near


def spanning(held: Sequence[str], train: Sequence[str], rule: Rule, *, workers: int) -> Spanning:
    """Every chain of ``held`` with every one of ``train``. The longer of two is the profile, which parasail aligns faster."""
    alphabet = sorted(set().union(*held, *train))
    sides = (list(held), list(train))
    counts = [np.array([[chain.count(letter) for letter in alphabet] for chain in of], np.int16) for of in sides]
    lengths = [np.array([len(chain) for chain in of], np.int64) for of in sides]
    measure = np.maximum if rule.coverage_of == "both" else np.minimum

    def row(one: tuple[int, int]) -> list[tuple[int, int, float]]:
        """Chain ``k`` of a side with those of the other that are shorter (of equal lengths, train's is), unless the letters that both
        have are fewer than a related pair has identical residues."""
        side, k = one
        chain, others = sides[side][k], sides[1 - side]
        shorter = np.flatnonzero(lengths[1 - side] < len(chain) + (side == 0))
        least = rule.identity * rule.coverage * measure(lengths[1 - side][shorter], len(chain))
        common = np.minimum(counts[1 - side][shorter], counts[side][k]).sum(1)
        profile = parasail.profile_create_sat(chain, parasail.blosum62)
        found: list[tuple[int, int, float]] = []
        for j in shorter[common >= least - ROUNDING].tolist():
            other = others[j]
            end = parasail.sw_striped_profile_sat(profile, other, GAP_OPEN, GAP_EXTEND)
            if rule.spans((end.end_query + 1, end.end_ref + 1), len(chain), len(other)):
                pair = aligned(chain, other)
                if rule.spans(pair.residues, len(chain), len(other)):
                    found.append((k, j, pair.identity) if side == 0 else (j, k, pair.identity))
        return found

    rows = [(side, k) for side, of in enumerate(sides) for k in range(len(of))] if held and train else []
    with ThreadPoolExecutor(workers) as pool:  # parasail lets other threads run while it aligns
        found = sorted(pair for pairs in pool.map(row, rows) for pair in pairs)
    return Spanning(
        np.array([i for i, _, _ in found], np.int64),
        np.array([j for _, j, _ in found], np.int64),
        np.array([identity for _, _, identity in found]),
    )


def _related(left: str, right: str, rule: Rule) -> bool:
    pair = aligned(left, right)
    return pair.identity >= rule.identity and rule.spans(pair.residues, len(left), len(right))


def _promising(held: Sequence[str], train: Sequence[str]) -> list[list[int]]:
    """For each of ``held`` the places in ``train`` of the chains that share the largest part of their words with it, the best first."""
    words = _words([*held, *train])
    numbers = words.sum(1)
    theirs = words[len(held) :].T.tocsr()
    found: list[list[int]] = []
    for first in range(0, len(held), BLOCK_CHAINS):
        last = min(first + BLOCK_CHAINS, len(held))
        common = (words[first:last] @ theirs).toarray()
        share = common / np.maximum(1, np.maximum(numbers[first:last, None], numbers[None, len(held) :]))
        found += np.argsort(-share, axis=1, kind="stable")[:, :PROMISING].tolist()
    return found


def _words(chains: Sequence[str]) -> csr_array:
    """A row a chain, a column a word, 1 where it occurs."""
    places: dict[str, int] = {}
    of = [sorted({chain[i : i + WORD] for i in range(len(chain) - WORD + 1)}) for chain in chains]
    columns = [places.setdefault(word, len(places)) for words in of for word in words]
    ends = np.cumsum([0, *map(len, of)])
    return csr_array((np.ones(len(columns), np.int32), columns, ends), shape=(len(chains), max(1, len(places))))


def _different(rows: Sequence[Row]) -> list[str]:
    return sorted({chain for row in rows for chain in chains_of(row)})
