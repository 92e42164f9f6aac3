"""Looks for related chains that the split let through: every chain of one side with every chain of the other, exactly.

Nothing here is shared with MMseqs2, whose search made the split, and nothing that the split's own aligner remembers is used: pairs
and bookkeeping are done anew. Shared with it are the proofs that a pair cannot be related (`screen`), and what is said of a single
pair (`alignment`). So the proofs are audited too, by pairs that they passed over and that parasail alone aligns:

- the pairs most alike in runs of three residues, where a fault of the proofs would show first,
- pairs at random,
- every hit of MMseqs2, which knows nothing of the proofs.

None of these may be related. A chain that stands in both is a pair of identity 1. What chains share in part is counted beside
(`shared`), and is a leak only where the split forbids it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import parasail
from jaxtyping import Bool, Float, Int

from pipeline.audit.words import BINS, Found, Leak, Reached
from pipeline.corpus.row import Row
from pipeline.protein.audit.shared import Stretches, in_words
from pipeline.protein.split.alignment import aligned, spanning
from pipeline.protein.split.alike import closest, most_alike
from pipeline.protein.split.compared import by_kind, called, different, holding, kinds
from pipeline.protein.split.mmseqs import Mmseqs
from pipeline.protein.split.rule import GAP_EXTEND, GAP_OPEN, Rule, checked_rule
from pipeline.protein.split.screen import may_span

TRIED = 2  # most alike chains that are aligned before all pairs are screened
WIDER = 0.75  # of the coverage that the rule asks for, MMseqs2 is asked for: its alignments are not the exact ones


class Spanning(NamedTuple):
    """Pairs (``held[k]``, ``train[k]``), sorted, whose best alignment spans enough, related or not; and ``looked``, how they were found:
    how many pairs there are, how many were aligned, and how many of the others were all the same, by likeness, at random, by MMseqs2."""

    held: Int[np.ndarray, " P"]
    train: Int[np.ndarray, " P"]
    identity: Float[np.ndarray, " P"]
    looked: dict[str, int | str]


class Chains:
    """The rule as in the split (`rule`). ``worst`` of what is found are the most alike pairs, related or not, shown aligned.
    ``sample``: pairs of each two splits that are aligned although a proof passed over them, half of them the most alike."""

    match = "chains"
    in_words = staticmethod(in_words)
    remedy = (
        "Let the split and the audit go by the same identity, coverage and coverage_of, or choose split identity; where stretches are "
        "forbidden, split stretch"
    )

    texts = "residues"  # what it reads, as `pipeline.task` calls it

    def __init__(
        self,
        *,
        identity: float,
        coverage: float,
        coverage_of: Literal["both", "shorter"],
        sample: int,
        search: Mmseqs,
        stretches: Stretches,
        workers: int,
        max_shown: int,
    ) -> None:
        self.rule = checked_rule(identity, coverage, coverage_of)
        self.threshold = identity
        self.sample = sample
        self.search = search
        self.stretches = stretches
        self.workers = workers
        self.max_shown = max_shown

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Found:
        """Related pairs of chains; ``nearest``: chains of ``evaluation`` by identity to the nearest that spans enough."""
        left, right, kind = different(train), different(evaluation), kinds([*train, *evaluation])
        pairs = every_pair(right, left, self.rule, sample=self.sample, search=self.search, workers=self.workers)
        nearest = np.zeros(len(right))
        np.maximum.at(nearest, pairs.held, pairs.identity)
        counts, _ = np.histogram(nearest, bins=BINS, range=(0, 1))
        worst: list[Leak] = []
        for k in np.lexsort((pairs.train, pairs.held, -pairs.identity))[: self.max_shown].tolist():
            lines = aligned(right[int(pairs.held[k])], left[int(pairs.train[k])]).lines
            worst.append(Leak(round(float(pairs.identity[k]), 4), lines[1], lines[0]))
        highest = round(float(nearest.max()), 4) if len(nearest) else 0.0
        shared = self.stretches(train, evaluation, chance=True)
        num_leaks = int((pairs.identity >= self.rule.identity).sum())
        looked = {"compared": by_kind(right, kind), **pairs.looked}
        return Found(num_leaks, sorted(shared.leaks), worst, counts.tolist(), highest, looked, called(kind), shared.counts)

    def reached(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Reached:
        """Chains of ``evaluation`` with a related one in train: each is aligned only until the first is found."""
        left, right, kind = different(train), different(evaluation), kinds(evaluation)
        near = self._near(left, right)
        related = {chain for chain, one in zip(right, near.tolist(), strict=True) if one}
        shared = self.stretches(train, evaluation, chance=False)
        return Reached(by_kind(right, kind), by_kind(related, kind), holding(evaluation, related), shared.counts)

    def _near(self, train: list[str], held: list[str]) -> Bool[np.ndarray, " H"]:
        """Most related chains are found by their likeness; all pairs of the others are screened."""
        known = set(train)
        near = np.array([chain in known for chain in held], bool)

        def look(asked: list[int], partners: Sequence[Int[np.ndarray, " k"]]) -> None:
            def related(k: int) -> bool:
                return any(_related(held[asked[k]], train[j], self.rule) for j in partners[k].tolist())

            with ThreadPoolExecutor(self.workers) as pool:
                near[asked] = list(pool.map(related, range(len(asked))))

        asked = np.flatnonzero(~near).tolist()
        look(asked, list(closest([held[i] for i in asked], train, TRIED)))
        asked = np.flatnonzero(~near).tolist()
        pairs = may_span([held[i] for i in asked], train, self.rule, workers=self.workers)
        look(asked, np.split(pairs[:, 1], np.searchsorted(pairs[:, 0], np.arange(1, max(1, len(asked))))))
        return near


def every_pair(held: list[str], train: list[str], rule: Rule, *, sample: int, search: Mmseqs, workers: int) -> Spanning:
    """Every chain of ``held`` with every one of ``train``. RuntimeError where a pair that was passed over is related after all."""
    pairs = may_span(held, train, rule, workers=workers)
    looked: dict[str, int | str] = {"pairs": len(held) * len(train), "pairs_aligned": len(pairs)}
    passed_over = {
        "most_alike": most_alike(held, train, pairs, sample - sample // 2),
        "at_random": _at_random(held, train, pairs, sample // 2),
    }
    if held and train and search.is_there():
        hits = search.between(held, train, WIDER * rule.coverage if rule.coverage_of == "both" else 0.0)
        passed_over["found_by_mmseqs2"] = hits[~_among(hits, pairs, len(train))]
        looked["pairs_found_by_mmseqs2"] = len(hits)
    else:
        looked["pairs_found_by_mmseqs2"] = "MMseqs2 was not run: it is missing" if held and train else 0
    for name, these in passed_over.items():
        _check(held, train, these, rule)
        looked[f"pairs_passed_over_{name}"] = len(these)
    identity = spanning(((held[i], train[j]) for i, j in pairs.tolist()), rule, workers=workers)
    found = identity >= 0
    return Spanning(pairs[found, 0], pairs[found, 1], identity[found], looked)


def _at_random(held: Sequence[str], train: Sequence[str], but: Int[np.ndarray, "P 2"], num: int) -> Int[np.ndarray, "Q 2"]:
    """Those of ``num`` pairs, always by the same draw, that are not among ``but``."""
    num_pairs = len(held) * len(train)
    drawn = np.unique(np.random.default_rng(0).integers(0, max(1, num_pairs), min(num, num_pairs)))
    pairs = np.stack(np.divmod(drawn, max(1, len(train))), axis=1)
    return pairs[~_among(pairs, but, len(train))]


def _among(pairs: Int[np.ndarray, "P 2"], others: Int[np.ndarray, "Q 2"], num_train: int) -> Bool[np.ndarray, " P"]:
    return np.isin(pairs[:, 0] * num_train + pairs[:, 1], others[:, 0] * num_train + others[:, 1])


def _check(held: list[str], train: list[str], pairs: Int[np.ndarray, "P 2"], rule: Rule) -> None:
    """Of ``pairs`` the score alone is computed, by parasail, and the alignment only where that ends late enough."""
    for one, other in ((held[i], train[j]) for i, j in pairs.tolist()):
        end = parasail.sw_striped_sat(one, other, GAP_OPEN, GAP_EXTEND, parasail.blosum62)
        if rule.spans((end.end_query + 1, end.end_ref + 1), len(one), len(other)) and _related(one, other, rule):
            raise RuntimeError(
                f"the audit's screen passed over a related pair, which must not happen on any processor: {one} and {other}. Please "
                "report it with these chains and the processor's name; a split made with it may leak"
            )


def _related(left: str, right: str, rule: Rule) -> bool:
    pair = aligned(left, right)
    return pair.identity >= rule.identity and rule.spans(pair.residues, len(left), len(right))
