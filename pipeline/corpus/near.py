"""Which texts of a list are nearly the same: what a near-duplicate search hands over.

Texts that nothing tells apart (equal sets of shingles) share a *set*; pairs stand between sets. So a sentence that stands
500 times is one set and no pair, where a list of all pairs would hold 124,750.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, slots=True)
class Near:
    """``set_of[i]`` is the set of text ``i``; ``left[k] < right[k]`` are near sets, sorted, with their ``similarity`` below 1."""

    set_of: Int[np.ndarray, " T"]
    left: Int[np.ndarray, " P"]
    right: Int[np.ndarray, " P"]
    similarity: Float[np.ndarray, " P"]

    @property
    def num_sets(self) -> int:
        return int(self.set_of.max()) + 1 if len(self.set_of) else 0

    def components(self) -> Int[np.ndarray, " T"]:
        """For each text the number of its cluster: what near pairs tie together, over any number of steps."""
        ones = np.ones(len(self.left), dtype=np.int8)
        edges = coo_array((ones, (self.left, self.right)), shape=(self.num_sets, self.num_sets))
        return connected_components(edges, directed=False)[1][self.set_of] if len(self.set_of) else self.set_of

    def twins(self) -> dict[int, list[tuple[int, float]]]:
        """Set -> (near set, similarity), itself first with 1; both directions; only sets that have a near one are listed."""
        found: dict[int, list[tuple[int, float]]] = {}
        for left, right, similarity in zip(self.left.tolist(), self.right.tolist(), self.similarity.tolist(), strict=True):
            found.setdefault(left, [(left, 1.0)]).append((right, similarity))
            found.setdefault(right, [(right, 1.0)]).append((left, similarity))
        return found


def kept_twins(near: Near, rank: Int[np.ndarray, " T"], *, chains: bool) -> Int[np.ndarray, " T"]:
    """For each text the text kept in its place: itself, or a near one of lower ``rank`` (a number per text, none twice).

    ``chains`` False: texts are taken by rank, and one is kept unless a kept one is near. So every dropped text is near its twin, and
    no two kept ones are near. True: one text of each cluster is kept; a dropped one may be tied to it by a chain only.
    """
    by_set = np.lexsort((rank, near.set_of))
    sets, first = np.unique(near.set_of[by_set], return_index=True)
    assert len(sets) == near.num_sets, "sets are numbered without gaps"
    best = by_set[first]  # of each set the text of lowest rank
    if chains:
        component = near.components()
        by_component = np.lexsort((rank, component))
        _, first = np.unique(component[by_component], return_index=True)
        return by_component[first][component]
    twin = np.arange(near.num_sets)
    kept = np.zeros(near.num_sets, dtype=bool)
    ends = np.concatenate([near.left, near.right])
    others = np.concatenate([near.right, near.left])[np.argsort(ends, kind="stable")].tolist()
    starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=near.num_sets))]).tolist()
    set_rank = rank[best].tolist()
    tied = np.unique(ends)
    for one in tied[np.argsort(rank[best[tied]])].tolist():
        ahead = [other for other in others[starts[one] : starts[one + 1]] if kept[other]]
        if ahead:
            twin[one] = min(ahead, key=set_rank.__getitem__)
        else:
            kept[one] = True
    return best[twin][near.set_of]


def sorted_near(
    set_of: Int[np.ndarray, " T"],
    left: Int[np.ndarray, " P"],
    right: Int[np.ndarray, " P"],
    similarity: Float[np.ndarray, " P"],
) -> Near:
    """`Near`, the smaller set of each pair first, pairs in order: equal findings become equal arrays."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((high, low))
    return Near(set_of, low[order], high[order], similarity[order])
