"""Bits to find a few documents, more than bits to rank these: one bit a number for the scan, and for those that are nearest by Hamming
distance the question's own numbers, against the document's bits or against a byte a number that is read for these alone.

Price: what the bits do not find is lost, whatever ranks; two steps for each question. Tasks that search nothing are scored by what
ranks.

Source: Yamada et al. 2021, arXiv:2106.00882, sec. 3 (both steps), without its training.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from pipeline.corpus.collection import Encode
from pipeline.form.stored import Stored, unit

BY_BITS = """\
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings, semantic_search_faiss

model = SentenceTransformer("{path}")
bits = quantize_embeddings(model.encode(documents, normalize_embeddings=True), precision="ubinary")
found = semantic_search_faiss(
    model.encode(questions, normalize_embeddings=True), corpus_embeddings=bits, corpus_precision="ubinary", rescore=True, top_k=10,
    rescore_multiplier=TIMES,
)
"""
BY_BYTES = """\
import faiss, numpy as np
from sentence_transformers import SentenceTransformer

model, codec = SentenceTransformer("{path}"), faiss.read_index("{path}/vectors/bytes.faiss")
vectors, asked = (model.encode(texts, normalize_embeddings=True) for texts in (documents, questions))
bits, stored = np.packbits(vectors > 0, axis=1), codec.sa_encode(vectors)
index = faiss.IndexBinaryFlat(8 * bits.shape[1])
index.add(bits)
_, rows = index.search(np.packbits(asked > 0, axis=1), NUMBER)
for question, found in zip(asked, rows):
    known = codec.sa_decode(stored[found])
    ranked = found[np.argsort(-(known / np.linalg.norm(known, axis=1, keepdims=True)) @ question)]
"""


class Shortlist(Stored):
    """``number`` of documents are ranked; ``bytes``: by a byte a number, which is stored beside the bits, else by the bits."""

    def __init__(self, *, number: Annotated[int, Field(ge=1)], bytes: bool) -> None:
        if number < 1:
            raise ValueError(f"number must be 1 or more, got {number}; write 100")
        self.number = number
        self.bytes = bytes
        ranked = "a byte a number" if bytes else "their bits and the question's numbers"
        self.about = f"one bit a number finds {number} documents, {ranked} ranks them"
        self.use = (BY_BYTES if bytes else BY_BITS).replace("NUMBER", str(number)).replace("TIMES", str(max(1, number // 10)))

    def fit(self, vectors: Float[np.ndarray, "N D"]) -> None:
        self.width = vectors.shape[1]
        self.codec = faiss.IndexScalarQuantizer(self.width, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        if self.bytes:
            self.codec.train(np.ascontiguousarray(vectors))

    def scan_bytes(self, width: int) -> int:
        """Of a vector, what every question reads."""
        return -(-width // 8)

    def vector_bytes(self, width: int) -> int:
        return self.scan_bytes(width) + self.bytes * width

    def shared_bytes(self) -> int:
        return int(faiss.serialize_index(self.codec).nbytes) if self.bytes else 0

    def pack(self, vectors: Float[np.ndarray, "N D"]) -> UInt8[np.ndarray, "N bytes"]:
        bits = np.packbits(vectors > 0, axis=1)
        return np.hstack([bits, self.codec.sa_encode(np.ascontiguousarray(vectors))]) if self.bytes else bits

    def unpack(self, packed: UInt8[np.ndarray, "N bytes"]) -> Float[np.ndarray, "N D"]:
        scan = self.scan_bytes(self.width)
        if self.bytes:
            return unit(self.codec.sa_decode(np.ascontiguousarray(packed[:, scan:])))
        signs = 2 * np.unpackbits(packed, axis=1, count=self.width).astype(np.float32) - 1
        return signs / np.float32(np.sqrt(self.width))

    def write(self, folder: Path) -> None:
        if self.bytes:
            (folder / "vectors").mkdir(exist_ok=True)
            faiss.write_index(self.codec, str(folder / "vectors/bytes.faiss"))

    def search(
        self, plain: Encode, task: str
    ) -> Callable[[list[str], list[str], int], tuple[Float[np.ndarray, "B K"], Float[np.ndarray, "B K"]]]:
        """As `Retrieval.judge` calls it. The nearest by Hamming distance, ranked; no more than ``number`` of a question's documents."""

        def search(queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
            packed, query_BD = self.pack(plain(documents, "document", task)), plain(queries, "query", task)
            scan = self.scan_bytes(self.width)
            index = faiss.IndexBinaryFlat(8 * scan)
            index.add(np.ascontiguousarray(packed[:, :scan]))
            _, row_BK = index.search(np.packbits(query_BD > 0, axis=1), min(self.number, len(documents)))
            document_ND = self.unpack(packed)
            score_BK = np.stack([document_ND[rows] @ query for rows, query in zip(row_BK, query_BD, strict=True)])
            order = np.argsort(-score_BK, axis=1, kind="stable")[:, :depth]
            return np.take_along_axis(score_BK, order, 1), np.take_along_axis(row_BK, order, 1)

        return search
