"""Near texts by MinHash and banded hashing (rensa), then verified: no pair too many, but some are missed.

For long documents and sizes where the hashed shingles of all texts do not fit into memory. A pair of similarity s becomes a
candidate with chance 1 - (1 - s^rows)^bands, rows = permutations / bands. Broder 1997, doi:10.1109/SEQUEN.1997.666900.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.cluster.join import check_threshold, equal_sets
from pipeline.cluster.shingle import shingled
from pipeline.corpus.near import Near, sorted_near


class MinHash:
    """``unit``, ``size`` and ``threshold`` as in the exact join."""

    def __init__(
        self, *, unit: Literal["word", "character"], size: int, threshold: float, permutations: int, bands: int, seed: int
    ) -> None:
        check_threshold(threshold)
        if bands < 1 or permutations % bands:
            raise ValueError(f"permutations must be a multiple of bands, got {permutations} and {bands}")
        self.unit: Literal["word", "character"] = unit
        self.size = size
        self.threshold = threshold
        self.permutations = permutations
        self.bands = bands
        self.seed = seed

    def __call__(self, texts: Sequence[str]) -> Near:
        from rensa import RMinHash, RMinHashLSH  # pyright: ignore[reportAttributeAccessIssue]

        hashes, starts = shingled(texts, unit=self.unit, size=self.size, workers=1)
        set_of, leaders = equal_sets(hashes, starts)
        index = RMinHashLSH(threshold=self.threshold, num_perm=self.permutations, num_bands=self.bands)
        found: list[tuple[int, int, float]] = []
        sets = [hashes[starts[text] : starts[text + 1]] for text in leaders]
        for one, shingles in enumerate(sets):
            if not len(shingles):
                continue
            signature = RMinHash(num_perm=self.permutations, seed=self.seed)
            signature.update([f"{value:x}" for value in shingles.tolist()])
            for other in sorted(index.query(signature)):
                shared = len(np.intersect1d(shingles, sets[other], assume_unique=True))
                similarity = shared / (len(shingles) + len(sets[other]) - shared)
                if similarity >= self.threshold:
                    found.append((other, one, similarity))
            index.insert(one, signature)
        left, right = (np.array([pair[side] for pair in found], dtype=np.int64) for side in (0, 1))
        return sorted_near(set_of, left, right, np.array([pair[2] for pair in found], dtype=np.float64))
