"""Families of related chains by exact alignment of every chain with every other: nothing is missed, so nothing has to be mended.

Most pairs are proven unrelated by scores alone (`screen`). Of the rest only those are aligned whose chains are not yet of one family,
a few for each two families at first, since one related pair makes the others superfluous. Price: the time grows with the square of
the residues; `benchmarks/identity.py` measures it beside MMseqs2's.

Our own design.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from pipeline.protein.split.alignment import spanning
from pipeline.protein.split.rule import Rule
from pipeline.protein.split.screen import may_span_within

MORE = 4  # times as many pairs of two families are aligned in each round as in the one before


class Exact:
    """Stands where `Mmseqs` does; ``complete``: no related pair can be in two families."""

    complete = True

    def version(self) -> str:
        return "not used, all chains compared exactly"

    def families(self, chains: Sequence[str], rule: Rule, *, workers: int) -> Int[np.ndarray, " C"]:
        """For each chain the number of its family; related chains are of one, and so are relatives of relatives."""
        family, texts = np.arange(len(chains)), list(chains)

        def related(pairs: Int[np.ndarray, "P 2"]) -> Bool[np.ndarray, " P"]:
            asked = ((texts[i], texts[j]) for i, j in pairs.tolist())
            return spanning(asked, rule, workers=workers) >= rule.identity

        for pairs in tqdm(
            may_span_within(chains, rule, workers=workers), desc="all chains with all", unit="part", leave=False, disable=None
        ):
            family = joined(family, pairs, related)
        return family


def joined(
    family: Int[np.ndarray, " C"],
    pairs: Int[np.ndarray, "P 2"],
    related: Callable[[Int[np.ndarray, "P 2"]], Bool[np.ndarray, " P"]],
) -> Int[np.ndarray, " C"]:
    """``family`` after the related ones of ``pairs`` are tied together; ``related`` says of some of them which are."""
    share = 1
    while len(pairs := pairs[family[pairs[:, 0]] != family[pairs[:, 1]]]):
        ends = np.sort(family[pairs], axis=1)
        order = np.lexsort((ends[:, 1], ends[:, 0]))
        pairs, ends = pairs[order], ends[order]
        first = np.flatnonzero(np.any(np.diff(ends, axis=0, prepend=-1), axis=1))
        place = np.arange(len(pairs)) - np.repeat(
            first, np.diff(np.append(first, len(pairs)))
        )  # of a pair among those of its families
        tried = place < share
        tied = family[pairs[tried][related(pairs[tried])]]
        edges = coo_array((np.ones(len(tied), np.int8), (tied[:, 0], tied[:, 1])), shape=(len(family), len(family)))
        family = connected_components(edges, directed=False)[1].astype(np.int64)[family]
        pairs = pairs[~tried]
        share *= MORE
    return family
