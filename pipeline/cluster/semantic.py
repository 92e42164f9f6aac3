"""Texts near in meaning: cosine >= threshold between the vectors of a fixed model. All pairs are compared, in blocks."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from pipeline.corpus.near import Near, sorted_near

BLOCK_TEXTS = 2_048


class Semantic:
    """``model`` turns texts into unit vectors. Price: time grows with the square of the number of texts."""

    def __init__(self, *, model: Callable[[Sequence[str]], Float[np.ndarray, "B D"]], threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be a cosine in (0, 1], got {threshold}; write 0.95 for 95 percent")
        self.model = model
        self.threshold = threshold

    def __call__(self, texts: Sequence[str]) -> Near:
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        set_of = np.array([number[text] for text in texts], dtype=np.int64)
        vector_TD = self.model(list(number))
        found: list[np.ndarray] = [np.zeros((0, 3))]
        for first in range(0, len(number), BLOCK_TEXTS):
            sim_BT = vector_TD[first : first + BLOCK_TEXTS] @ vector_TD.T
            rows, columns = np.nonzero(sim_BT >= self.threshold)
            later = columns > rows + first
            found.append(np.stack([rows[later] + first, columns[later], sim_BT[rows[later], columns[later]]], axis=1))
        left, right, similarity = np.concatenate(found).T
        return sorted_near(set_of, left.astype(np.int64), right.astype(np.int64), np.minimum(similarity, 1.0))
