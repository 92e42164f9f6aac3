"""What an index keeps of a vector: a few bytes. The model's files stay as they are; what is learned (codebooks, ranges, a rotation) comes
of train texts, and is kept once for all vectors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder


def unit(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """At unit length; what is nothing stays nothing."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


class Stored(ABC):
    """A form whose vectors are packed. ``fit`` comes first. A text that is searched is compared by what `unpack` makes of its bytes, a
    question by `query`, which costs no room."""

    file = None
    tolerance = None
    about: str
    use: str

    @abstractmethod
    def fit(self, vectors: Float[np.ndarray, "N D"]) -> None:
        """Learn from vectors of train texts, at unit length. ValueError where they are too few, or too narrow."""

    @abstractmethod
    def pack(self, vectors: Float[np.ndarray, "N D"]) -> UInt8[np.ndarray, "N bytes"]: ...

    @abstractmethod
    def unpack(self, packed: UInt8[np.ndarray, "N bytes"]) -> Float[np.ndarray, "N K"]:
        """At unit length."""

    @abstractmethod
    def vector_bytes(self, width: int) -> int: ...

    @abstractmethod
    def shared_bytes(self) -> int:
        """Kept once for all vectors, as it is written to a file."""

    def query(self, vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        """What is compared with `unpack`, by inner product."""
        return vectors

    @abstractmethod
    def write(self, folder: Path) -> None:
        """What was learned, if anything, into a file of ``folder`` that `use` names."""

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        """Write what was learned; what is handed back stores each text, and reads it again."""
        self.write(folder)

        def encode(texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B K"]:
            return self.unpack(self.pack(plain(texts, side, task)))

        return encode
