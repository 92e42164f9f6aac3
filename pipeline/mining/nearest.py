"""Hard negatives: the nearest documents that are not too near.

Price: exact search over all documents; one block of queries against all at a time.

Source of the filter: de Souza P. Moreira et al. 2024 (NV-Retriever), arXiv:2407.15831, TopK-PercPos.
"""

from collections.abc import Sequence

import faiss
import numpy as np
from jaxtyping import Float


class Nearest:
    """For each query the ``num_negatives`` best of its ``depth`` nearest documents that are not its own and score at most
    ``max_ratio`` times its own: one that scores higher is likely a positive nobody marked."""

    def __init__(self, *, num_negatives: int, depth: int, max_ratio: float) -> None:
        if num_negatives < 1 or depth < num_negatives:
            raise ValueError(
                f"depth must be at least num_negatives >= 1, got {depth} and {num_negatives}; see conf/miner/nearest.yaml"
            )
        if not 0 < max_ratio <= 1:
            raise ValueError(f"max_ratio must be in (0, 1], got {max_ratio}; write 0.95 for 95 percent of the positive's score")
        self.num_negatives = num_negatives
        self.depth = depth
        self.max_ratio = max_ratio

    def __call__(
        self, query: Float[np.ndarray, "B D"], document: Float[np.ndarray, "N D"], positives: Sequence[set[int]]
    ) -> list[list[int]]:
        """Rows of ``document``, best first, for each query; ``positives[i]`` are the rows that answer query ``i``."""
        index = faiss.IndexFlatIP(document.shape[1])
        index.add(np.ascontiguousarray(document))
        score_BK, row_BK = index.search(np.ascontiguousarray(query), min(self.depth, len(document)))
        found: list[list[int]] = []
        for i, own in enumerate(positives):
            limit = self.max_ratio * min(float(query[i] @ document[j]) for j in own)
            pairs = zip(score_BK[i].tolist(), row_BK[i].tolist(), strict=True)
            fair = [(-score, row) for score, row in pairs if row not in own and score <= limit]
            found.append([row for _, row in sorted(fair)[: self.num_negatives]])
        return found
