"""Looks for related chains that the split let through: every chain of one side with every chain of the other, exactly.

Nothing here is shared with MMseqs2, whose search made the split, and nothing that the split's own aligner remembers is used: pairs
and bookkeeping are done anew. Shared with it are the proofs that a pair cannot be related (`screen`), and what is said of a single
pair (`alignment`). So the proofs are audited too: of the pairs they passed over, parasail alone aligns a sample, and must find that
none is related. A chain that stands in both is a pair of identity 1.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import parasail
from jaxtyping import Bool, Float, Int

from pipeline.corpus.row import Row
from pipeline.split.alignment import aligned, spanning
from pipeline.split.audit import BINS, Found, Leak, Reached
from pipeline.split.identity import chains_of
from pipeline.split.rule import GAP_EXTEND, GAP_OPEN, Rule, checked_rule
from pipeline.split.screen import may_span


class Spanning(NamedTuple):
    """Pairs (``held[k]``, ``train[k]``), sorted, whose best alignment spans enough, related or not; how many pairs there are, how many
    were aligned, and how many of the others were, as a sample."""

    held: Int[np.ndarray, " P"]
    train: Int[np.ndarray, " P"]
    identity: Float[np.ndarray, " P"]
    num_pairs: int
    num_aligned: int
    num_sampled: int


class Chains:
    """The rule as in the split (`rule`). ``worst`` of what is found are the most alike pairs, related or not, shown aligned.
    ``sample``: pairs of each two splits that are aligned although a proof passed over them."""

    match = things = "chains"
    remedy = "Let the split and the audit go by the same identity, coverage and coverage_of, or choose split identity"

    def __init__(
        self,
        *,
        identity: float,
        coverage: float,
        coverage_of: Literal["both", "shorter"],
        sample: int,
        workers: int,
        max_shown: int,
    ) -> None:
        self.rule = checked_rule(identity, coverage, coverage_of)
        self.threshold = identity
        self.sample = sample
        self.workers = workers
        self.max_shown = max_shown

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Found:
        """Related pairs of chains; ``nearest``: chains of ``evaluation`` by identity to the nearest that spans enough."""
        left, right = _different(train), _different(evaluation)
        pairs = every_pair(right, left, self.rule, sample=self.sample, workers=self.workers)
        nearest = np.zeros(len(right))
        np.maximum.at(nearest, pairs.held, pairs.identity)
        counts, _ = np.histogram(nearest, bins=BINS, range=(0, 1))
        worst: list[Leak] = []
        for k in np.lexsort((pairs.train, pairs.held, -pairs.identity))[: self.max_shown].tolist():
            lines = aligned(right[int(pairs.held[k])], left[int(pairs.train[k])]).lines
            worst.append(Leak(round(float(pairs.identity[k]), 4), lines[1], lines[0]))
        highest = round(float(nearest.max()), 4) if len(nearest) else 0.0
        looked = {"pairs": pairs.num_pairs, "pairs_aligned": pairs.num_aligned, "pairs_sampled": pairs.num_sampled}
        return Found(int((pairs.identity >= self.rule.identity).sum()), worst, counts.tolist(), highest, looked)

    def reached(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Reached:
        """Chains of ``evaluation`` with a related one in train: each is aligned only until the first is found."""
        left, right = _different(train), _different(evaluation)
        near = self._near(left, right)
        related = {chain for chain, one in zip(right, near.tolist(), strict=True) if one}
        return Reached(len(right), len(related), [not related.isdisjoint(chains_of(row)) for row in evaluation])

    def _near(self, train: list[str], held: list[str]) -> Bool[np.ndarray, " H"]:
        known = set(train)
        near = np.array([chain in known for chain in held], bool)
        asked = np.flatnonzero(~near).tolist()
        pairs = may_span([held[i] for i in asked], train, self.rule, workers=self.workers)
        partners = np.split(pairs[:, 1], np.searchsorted(pairs[:, 0], np.arange(1, max(1, len(asked)))))

        def related(one: int) -> bool:
            return any(_related(held[asked[one]], train[j], self.rule) for j in partners[one].tolist())

        with ThreadPoolExecutor(self.workers) as pool:
            near[asked] = list(pool.map(related, range(len(asked))))
        return near


def every_pair(held: list[str], train: list[str], rule: Rule, *, sample: int, workers: int) -> Spanning:
    """Every chain of ``held`` with every one of ``train``. RuntimeError where a pair that was passed over is related after all."""
    pairs = may_span(held, train, rule, workers=workers)
    num_sampled = _checked(held, train, pairs, rule, sample)
    identity = spanning(((held[i], train[j]) for i, j in pairs.tolist()), rule, workers=workers)
    found = identity >= 0
    return Spanning(pairs[found, 0], pairs[found, 1], identity[found], len(held) * len(train), len(pairs), num_sampled)


def _checked(held: list[str], train: list[str], kept: Int[np.ndarray, "P 2"], rule: Rule, sample: int) -> int:
    """How many of a sample of all pairs are not among those ``kept``. Of these the score alone is computed, by parasail, and the
    alignment only where that ends late enough; always by the same draw."""
    num_pairs = len(held) * len(train)
    drawn = np.unique(np.random.default_rng(0).integers(0, max(1, num_pairs), min(sample, num_pairs)))
    drawn = drawn[~np.isin(drawn, kept[:, 0] * len(train) + kept[:, 1])]
    for place in drawn.tolist():
        one, other = held[place // len(train)], train[place % len(train)]
        end = parasail.sw_striped_sat(one, other, GAP_OPEN, GAP_EXTEND, parasail.blosum62)
        if rule.spans((end.end_query + 1, end.end_ref + 1), len(one), len(other)) and _related(one, other, rule):
            raise RuntimeError(
                f"the audit's screen passed over a related pair, which must not happen on any processor: {one} and {other}. Please "
                "report it with these chains and the processor's name; a split made with it may leak"
            )
    return len(drawn)


def _related(left: str, right: str, rule: Rule) -> bool:
    pair = aligned(left, right)
    return pair.identity >= rule.identity and rule.spans(pair.residues, len(left), len(right))


def _different(rows: Sequence[Row]) -> list[str]:
    return sorted({chain for row in rows for chain in chains_of(row)})
