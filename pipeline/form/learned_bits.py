"""Bits of a learned projection: vectors are centred, taken to their main directions, and turned until signs lose least of them.

Any number of bits up to the width, where `binary` has one a number. Compared by Hamming distance. Price: a projection to apply to every
vector and question; learned on train texts without looking at what belongs together.

Source: Gong and Lazebnik 2011, doi:10.1109/CVPR.2011.5995432 (iterative quantisation), as faiss has it.
"""

from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from pipeline.form.stored import Stored


class LearnedBits(Stored):
    """``bits``: of a vector, a multiple of 8."""

    def __init__(self, *, bits: Annotated[int, Field(ge=8)]) -> None:
        if bits < 8 or bits % 8:
            raise ValueError(f"bits must be a multiple of 8, got {bits}; write 128")
        self.bits = bits
        self.place = f"vectors/bits_{bits}.faiss"
        self.about = f"{bits} bits of a learned projection, compared by Hamming distance"
        self.use = f"""\
import faiss, numpy as np
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{{path}}")
projection = faiss.read_VectorTransform("{{path}}/{self.place}")
bits = lambda texts: np.packbits(projection.apply(model.encode(texts, normalize_embeddings=True)) > 0, axis=1)
index = faiss.IndexBinaryFlat({bits})
index.add(bits(documents))
"""

    def fit(self, vectors: Float[np.ndarray, "N D"]) -> None:
        if self.bits > vectors.shape[1]:
            raise ValueError(f"bits is {self.bits}, but vectors have {vectors.shape[1]} numbers; lower it")
        if len(vectors) <= vectors.shape[1]:
            raise ValueError(
                f"a projection of {vectors.shape[1]} numbers needs more train texts than that, got {len(vectors)}; leave the form out"
            )
        self.projection = faiss.ITQTransform(vectors.shape[1], self.bits, True)
        self.projection.train(np.ascontiguousarray(vectors))

    def vector_bytes(self, width: int) -> int:
        return self.bits // 8

    def shared_bytes(self) -> int:
        writer: Any = faiss.VectorIOWriter()
        faiss.write_VectorTransform(self.projection, writer)
        return int(writer.data.size())

    def pack(self, vectors: Float[np.ndarray, "N D"]) -> UInt8[np.ndarray, "N bytes"]:
        return np.packbits(self.projection.apply(np.ascontiguousarray(vectors)) > 0, axis=1)

    def unpack(self, packed: UInt8[np.ndarray, "N bytes"]) -> Float[np.ndarray, "N bits"]:
        """Signs: their inner product is 1 less twice the share of bits that differ."""
        signs = 2 * np.unpackbits(packed, axis=1).astype(np.float32) - 1
        return signs / np.float32(np.sqrt(self.bits))

    def query(self, vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N bits"]:
        return self.unpack(self.pack(vectors))

    def write(self, folder: Path) -> None:
        (folder / self.place).parent.mkdir(exist_ok=True)
        faiss.write_VectorTransform(self.projection, str(folder / self.place))
