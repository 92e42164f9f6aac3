"""Texts near by any of several searches: by words or by meaning, say."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.near import Near, sorted_near


class Either:
    """A pair is as similar as the ``parts`` that call it near say at most. Texts that any of them puts into one set share one."""

    def __init__(self, *, parts: Mapping[str, Callable[[Sequence[str]], Near]]) -> None:
        if not parts:
            raise ValueError("parts must name at least one search, got none; see conf/cluster/either.yaml")
        self.parts = parts

    def __call__(self, texts: Sequence[str]) -> Near:
        found = [part(texts) for _, part in sorted(self.parts.items())]
        set_of = _one_set(len(texts), found)
        ends, similarity = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
        for near in found:
            _, member = np.unique(near.set_of, return_index=True)  # a text of each set
            pairs = set_of[member[np.stack([near.left, near.right], axis=1)]]
            apart = pairs[:, 0] != pairs[:, 1]
            ends.append(np.sort(pairs[apart], axis=1))
            similarity.append(near.similarity[apart])
        pairs, values = np.concatenate(ends), np.concatenate(similarity)
        pairs, place = np.unique(pairs, axis=0, return_inverse=True)
        highest = np.zeros(len(pairs))
        np.maximum.at(highest, place.ravel(), values)
        return sorted_near(set_of, pairs[:, 0], pairs[:, 1], highest)


def _one_set(num_texts: int, found: Sequence[Near]) -> Int[np.ndarray, " T"]:
    """The finest sets that hold every set of every search; numbered by their first texts."""
    first = [np.unique(near.set_of, return_index=True)[1][near.set_of] for near in found]
    texts = np.tile(np.arange(num_texts), len(found))
    edges = coo_array((np.ones(len(texts), np.int8), (texts, np.concatenate(first))), shape=(num_texts, num_texts))
    return connected_components(edges, directed=False)[1].astype(np.int64) if num_texts else np.zeros(0, np.int64)
