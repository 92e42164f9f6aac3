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
        return self.of_sets()[self.set_of]

    def of_sets(self) -> Int[np.ndarray, " N"]:
        """For each set the number of its cluster."""
        if not self.num_sets:
            return np.zeros(0, np.int64)
        ones = np.ones(len(self.left), dtype=np.int8)
        edges = coo_array((ones, (self.left, self.right)), shape=(self.num_sets, self.num_sets))
        return connected_components(edges, directed=False)[1]

    def twins(self) -> dict[int, list[tuple[int, float]]]:
        """Set -> (near set, similarity), itself first with 1; both directions; only sets that have a near one are listed."""
        found: dict[int, list[tuple[int, float]]] = {}
        for left, right, similarity in zip(self.left.tolist(), self.right.tolist(), self.similarity.tolist(), strict=True):
            found.setdefault(left, [(left, 1.0)]).append((right, similarity))
            found.setdefault(right, [(right, 1.0)]).append((left, similarity))
        return found


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


def restricted(near: Near, chosen: Int[np.ndarray, " N"]) -> Near:
    """What ``near`` says of the ``chosen`` texts alone, each named once; their sets are numbered in the order of their first texts."""
    found, first, inverse = np.unique(near.set_of[chosen], return_index=True, return_inverse=True)
    rank = np.empty(len(found), np.int64)
    rank[np.argsort(first)] = np.arange(len(found))
    number = np.full(near.num_sets, -1, np.int64)
    number[found] = rank
    left, right = number[near.left], number[near.right]
    both = (left >= 0) & (right >= 0)
    return sorted_near(rank[inverse], left[both], right[both], near.similarity[both])
