"""A fixed model as it came, for curation: never one that this run trains, whose data would then depend on itself."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float
from sentence_transformers import SentenceTransformer

from pipeline.encoder.encoder import Encoder


class Frozen:
    """Unit vectors of ``backbone`` (a part of conf/encoder). Texts are cut at ``max_length_tokens``."""

    def __init__(
        self, *, backbone: Callable[[Iterable[str]], SentenceTransformer], max_length_tokens: int, batch_size: int
    ) -> None:
        self.encoder = Encoder(backbone([]))
        self.max_length_tokens = max_length_tokens
        self.batch_size = batch_size
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "B D"]:
        """Each text is encoded once however often it is asked for; in the order of ``texts``."""
        new = sorted(dict.fromkeys(text for text in texts if text not in self.known))
        vectors = self.encoder.encode(
            new,
            max_length_tokens=self.max_length_tokens,
            batch_tokens=self.batch_size * self.max_length_tokens,
            title="fixed model",
            unit=True,
        )
        self.known |= zip(new, vectors, strict=True)
        return np.stack([self.known[text] for text in texts]) if texts else np.zeros((0, self.encoder.width), np.float32)
