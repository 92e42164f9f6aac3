"""One bit a number, its sign: a document takes 1/32 of the room, and a score is a count of equal bits.

Source: Yamada et al. 2021, arXiv:2106.00882, sec. 3, without its training.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder


class Binary:
    """Vectors of the model as it is, packed by whoever keeps them."""

    file = None
    tolerance = None
    about = "one bit a number, compared by Hamming distance"
    use = """\
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings

model = SentenceTransformer("{path}")
bits = quantize_embeddings(model.encode(texts), precision="ubinary")  # compare by Hamming distance: faiss.IndexBinaryFlat
"""

    def vector_bytes(self, width: int) -> int:
        return -(-width // 8)

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        """Signs at unit length: their inner product is 1 less twice the share of bits that differ."""

        def encode(texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B D"]:
            vectors = plain(texts, side, task)
            return np.where(vectors > 0, 1, -1).astype(np.float32) / np.float32(np.sqrt(vectors.shape[1]))

        return encode
