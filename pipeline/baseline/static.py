"""Static embeddings: the mean of the backbone's own input embeddings over a text's tokens. What is above is owed to the layers.

Texts are not cut and get no prompt and no special tokens: a table has no limit of length.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.corpus.collection import Collection, Complexes
from pipeline.encoder.encoder import Encoder


class Static:
    """``directory`` is an encoder directory, as it stood before any training here."""

    def __init__(self, *, directory: str) -> None:
        encoder = Encoder.load(Path(directory))
        self.table: Float[np.ndarray, "V D"] = encoder.table.detach().float().numpy()
        self.plain_ids = encoder.plain_ids

    def answer(self, evaluator: Any, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]] | None:
        """``(scores, items)`` as ``evaluator`` gives them; None for complexes, which have no vector of their own."""
        return None if isinstance(collection, Complexes) else evaluator.evaluate(self.encode, collection)

    def encode(self, texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B D"]:
        """Vectors of unit length; of a text without a token, zeros."""
        given = self.plain_ids(texts)
        mean_BD = np.stack([self.table[ids].mean(0) if ids else np.zeros_like(self.table[0]) for ids in given])
        length = np.linalg.norm(mean_BD, axis=1, keepdims=True)
        return np.divide(mean_BD, length, out=np.zeros_like(mean_BD), where=length > 0)
