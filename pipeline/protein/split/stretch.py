"""What two sequences share in a part of them, where they need not be alike as wholes (`rule`): a joined side may hold a chain of another.

Two sequences share a *stretch* if ``letters`` residues in a row stand in both, or if their best local alignment scores ``score`` or
more and has at least ``columns`` columns, ``identity`` of which hold equal residues. The bound on the score is needed: of two
unrelated sequences one pair in seventy has a best alignment of fifty columns at 30 %, so among thousands of train sequences each finds
one by chance, but hardly one that scores so much (beside each count in leakage.json stands what sequences read backwards reach).

Source of score and bits: Karlin and Altschul 1990, doi:10.1073/pnas.87.6.2264; of the constants: BLAST's for BLOSUM62 with gaps 11 + 1
(lambda 0.267, K 0.041). Cutting by what is shared in part is as in DataSAIL's and PLINDER's splits; the definition is ours.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.protein.split.alignment import PAIRS, aligned
from pipeline.protein.split.exact import joined
from pipeline.protein.split.identity import Search
from pipeline.protein.split.rule import ROUNDING, Rule
from pipeline.protein.split.screen import FULL, may_score_within


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a shared stretch is; ``score`` in BLOSUM62's units, of which 92 are 40 bits."""

    letters: int
    columns: int
    identity: float
    score: int

    def aligns(self, left: str, right: str) -> bool:
        """Whether the best alignment scores enough, and is long and alike enough."""
        pair = aligned(left, right)
        long_enough = len(pair.lines[0]) >= self.columns
        return pair.score >= self.score and long_enough and pair.identity >= self.identity - ROUNDING

    def aligning(self, pairs: Iterable[tuple[str, str]], *, workers: int) -> Bool[np.ndarray, " P"]:
        """`aligns` of each of ``pairs``."""
        asked = list(pairs)

        def of_some(first: int) -> list[bool]:
            return [self.aligns(*pair) for pair in asked[first : first + PAIRS]]

        with ThreadPoolExecutor(workers) as pool:
            return np.array([one for some in pool.map(of_some, range(0, len(asked), PAIRS)) for one in some], bool)


def checked_stretch(letters: int, columns: int, identity: float, score: int) -> Stretch:
    if letters < 1 or columns < 1:
        raise ValueError(
            f"letters and columns must be 1 or more, got {letters} and {columns}; see related.stretch in conf/config.yaml"
        )
    if not 0 < identity <= 1:
        raise ValueError(f"identity must be in (0, 1], got {identity}; write 0.30 for 30 percent")
    if not 0 < score <= FULL:
        raise ValueError(f"score must be from 1 to {FULL}, got {score}; 92 are 40 bits")
    return Stretch(letters, columns, identity, score)


class Stretched:
    """Stands where `Mmseqs` does: ``search`` finds families of related sequences, and those that share a stretch are of one, too.
    ``align`` False: only residues in a row count. ``complete`` as of ``search``: no stretch is missed."""

    def __init__(self, *, letters: int, columns: int, identity: float, score: int, align: bool, search: Search) -> None:
        self.stretch = checked_stretch(letters, columns, identity, score)
        self.align = align
        self.search = search
        self.complete = search.complete

    def version(self) -> str:
        return self.search.version()

    def families(self, chains: Sequence[str], rule: Rule, *, workers: int) -> Int[np.ndarray, " C"]:
        """For each of ``chains`` the number of its family."""
        family = _tied(same_letters(chains, self.stretch.letters), self.search.families(chains, rule, workers=workers))

        texts = list(chains)

        def share(pairs: Int[np.ndarray, "P 2"]) -> Bool[np.ndarray, " P"]:
            return self.stretch.aligning(((texts[i], texts[j]) for i, j in pairs.tolist()), workers=workers)

        for pairs in may_score_within(chains, self.stretch.score, workers=workers) if self.align else ():
            family = joined(family, pairs, share)
        return family


def same_letters(chains: Sequence[str], letters: int) -> Int[np.ndarray, "P 2"]:
    """Pairs that tie together all of ``chains`` that have ``letters`` residues in a row in common: each with the first that has them."""
    first: dict[str, int] = {}
    return np.array(
        sorted(
            {
                (i, k)
                for k, chain in enumerate(chains)
                for one in windows(chain, letters)
                if (i := first.setdefault(one, k)) != k
            }
        ),
        np.int64,
    ).reshape(-1, 2)


def windows(chain: str, letters: int) -> set[str]:
    """What ``chain`` has of ``letters`` residues in a row."""
    return {chain[i : i + letters] for i in range(len(chain) - letters + 1)}


def _tied(pairs: Int[np.ndarray, "P 2"], family: Int[np.ndarray, " C"]) -> Int[np.ndarray, " C"]:
    size = len(family)
    ends = family[pairs]
    edges = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(size, size))
    return connected_components(edges, directed=False)[1].astype(np.int64)[family]
