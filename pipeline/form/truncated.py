"""The first numbers of a vector alone, again at unit length: an index as much smaller. Little is lost where training asked for it
(`objective: matryoshka`).

Source: Kusupati et al. 2022, arXiv:2205.13147, sec. 3.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder


class Truncated:
    """``share`` in (0, 1] of the width is kept."""

    file = None
    tolerance = None

    def __init__(self, *, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(
                f"share must be in (0, 1], got {share}; write 0.5 for half of the width; see conf/form/truncated.yaml"
            )
        self.share = share
        self.about = f"the first {share:.0%} of the numbers, at unit length"
        self.use = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{path}")
vectors = model.encode(texts, truncate_dim={dims}, normalize_embeddings=True)
"""

    def dims(self, width: int) -> int:
        return max(1, round(self.share * width))

    def vector_bytes(self, width: int) -> int:
        return 4 * self.dims(width)

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        def encode(texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B D"]:
            vectors = plain(texts, side, task)[:, : self.dims(encoder.width)]
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)

        return encode
