"""Hard negatives: the nearest documents that are not too near.

Price: exact search, so every query is compared with every document.

Source of the filters: de Souza P. Moreira et al. 2024 (NV-Retriever), arXiv:2407.15831: TopK-PercPos, TopK-MarginPos.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from pipeline.mining.search import nearest


class Nearest:
    """For each query the ``num_negatives`` best of the documents at ranks ``first_rank`` to ``depth`` that are not its own.

    One that scores higher than ``max_ratio`` times its own positive, or than the positive less ``min_margin``, is likely a
    positive nobody marked and left out; None turns a filter off. The positive that scores least counts.
    """

    def __init__(
        self,
        *,
        num_negatives: int,
        first_rank: int,
        depth: int,
        max_ratio: float | None,
        min_margin: float | None,
        queries_at_once: int,
        documents_at_once: int,
    ) -> None:
        where = "see conf/mining/nearest.yaml"
        if num_negatives < 1 or first_rank < 0 or depth - first_rank < num_negatives:
            raise ValueError(
                f"ranks {first_rank} to {depth} must hold num_negatives >= 1, got {num_negatives}; raise depth, {where}"
            )
        if max_ratio is not None and not 0 < max_ratio <= 1:
            raise ValueError(f"max_ratio must be in (0, 1], got {max_ratio}; write 0.95 for 95 percent of the positive's score")
        if min_margin is not None and not 0 <= min_margin <= 2:
            raise ValueError(f"min_margin must be in [0, 2], a difference of cosines, got {min_margin}; {where}")
        if queries_at_once < 1 or documents_at_once < 1:
            given = f"{queries_at_once} and {documents_at_once}"
            raise ValueError(f"queries_at_once and documents_at_once must be positive, got {given}; {where}")
        self.num_negatives = num_negatives
        self.first_rank = first_rank
        self.depth = depth
        self.max_ratio = max_ratio
        self.min_margin = min_margin
        self.blocks = {"queries_at_once": queries_at_once, "documents_at_once": documents_at_once}

    def __call__(
        self,
        query: Float[np.ndarray, "B D"],
        document: Float[np.ndarray, "N D"],
        positives: Sequence[set[int]],
        barred: Sequence[set[int]] | None = None,
    ) -> list[list[int]]:
        """Rows of ``document``, best first, for each query. ``positives[i]`` are the rows that answer query ``i``, ``barred[i]``
        others that must not be its negatives, such as copies of an answer; neither has a rank."""
        out = [own | more for own, more in zip(positives, barred or [set()] * len(positives), strict=True)]
        widest = max((len(rows) for rows in out), default=0)
        score_BK, row_BK = nearest(query, document, self.depth + widest, **self.blocks)
        found: list[list[int]] = []
        for i, own in enumerate(positives):
            limit = self._limit(float((document[sorted(own)].astype(np.float64) @ query[i].astype(np.float64)).min()))
            pairs = zip(score_BK[i].tolist(), row_BK[i].tolist(), strict=True)
            ranked = [(score, row) for score, row in pairs if row not in out[i]][self.first_rank : self.depth]
            found.append([row for score, row in ranked if score <= limit][: self.num_negatives])
        return found

    def _limit(self, positive: float) -> float:
        """The highest score a negative may have, given the positive's."""
        by_ratio = positive - (1 - self.max_ratio) * abs(positive) if self.max_ratio is not None else float("inf")
        return min(by_ratio, positive - self.min_margin if self.min_margin is not None else float("inf"))
