"""Vectors as faiss stores them: a byte a number (``SQ8``), a few codes out of codebooks (``PQ48``: 48 bytes), or codes behind a learned
rotation (``OPQ48,PQ48``), and whatever else its factory knows.

Price: learned on train texts, so vectors unlike theirs lose more; codes are compared by the vectors that they stand for.

Source: Jegou et al. 2011, doi:10.1109/TPAMI.2010.57, sec. 3 (product quantisation), and Ge et al. 2013, doi:10.1109/CVPR.2013.379 (the
rotation), both as faiss has them.
"""

import re
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from jaxtyping import Float, UInt8

from pipeline.form.stored import Stored, unit

CODES = 256  # rows of a codebook: a code is a byte
ROUNDS = 20  # of the search for a rotation, faiss' own number being 50


class Codec(Stored):
    """``factory``: as `faiss.index_factory` names it; an index that keeps codes alone, no lists."""

    def __init__(self, *, factory: str, seed: int) -> None:
        if re.search(r"IVF|HNSW|NSG|Flat|LSH|ITQ", factory):
            raise ValueError(
                f"factory names how a vector is stored, such as SQ8, PQ48 or OPQ48,PQ48; got {factory}, which says how it is searched"
            )
        self.factory = factory
        self.seed = seed
        self.place = f"vectors/{re.sub('[^A-Za-z0-9]+', '_', factory).lower()}.faiss"
        self.about = f"{factory} of faiss, learned on train texts, compared with the question's own vector"
        self.use = f"""\
import faiss, numpy as np
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{{path}}")
index = faiss.read_index("{{path}}/{self.place}")  # empty, and trained
stored = index.sa_encode(model.encode(documents, normalize_embeddings=True))
known = index.sa_decode(stored)
known /= np.linalg.norm(known, axis=1, keepdims=True)
scores = model.encode(questions, normalize_embeddings=True) @ known.T
"""

    def _made(self, width: int) -> Any:
        """An index that has learned nothing. ValueError where vectors of ``width`` numbers have none such."""
        try:
            return faiss.index_factory(width, self.factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"faiss has no {self.factory} of vectors of {width} numbers ({reason}); PQ<m> needs m to divide them"
            ) from None

    def vector_bytes(self, width: int) -> int:
        return int(self._made(width).sa_code_size())

    def fit(self, vectors: Float[np.ndarray, "N D"]) -> None:
        if len(vectors) < CODES:
            raise ValueError(f"{self.factory} learns from {CODES} train texts or more, got {len(vectors)}; leave the form out")
        self.index = self._made(vectors.shape[1])
        parts = [self.index]
        if isinstance(self.index, faiss.IndexPreTransform):
            chain: Any = self.index.chain
            steps = [faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())]
            for step in steps:
                if isinstance(step, faiss.OPQMatrix):
                    step.niter = ROUNDS
            parts.append(faiss.downcast_index(self.index.index))
        for part in parts:
            if hasattr(part, "pq"):
                part.pq.cp.seed = self.seed
                part.pq.cp.min_points_per_centroid = 1  # it would say that more texts were better
        self.index.train(np.ascontiguousarray(vectors))

    def shared_bytes(self) -> int:
        return int(faiss.serialize_index(self.index).nbytes)

    def pack(self, vectors: Float[np.ndarray, "N D"]) -> UInt8[np.ndarray, "N bytes"]:
        return self.index.sa_encode(np.ascontiguousarray(vectors))

    def unpack(self, packed: UInt8[np.ndarray, "N bytes"]) -> Float[np.ndarray, "N D"]:
        return unit(self.index.sa_decode(np.ascontiguousarray(packed)))

    def write(self, folder: Path) -> None:
        (folder / self.place).parent.mkdir(exist_ok=True)
        faiss.write_index(self.index, str(folder / self.place))
