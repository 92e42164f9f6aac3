"""A queue: an objective with the vectors of earlier batches as further negatives, behind the documents of the batch.

They were made by a slow copy of the encoder, without dropout, and get no gradient (`EmbeddedPairs.slow`). The queue holds the last
``size`` of them, oldest first; the vectors of a batch join it behind that batch. One that reads like a query or an answer is no
negative of it. In evaluation nothing joins.
Price: a second encoder in memory, and one more pass of it over one side of each batch. An answer that only a row of an earlier batch
marks is punished.

Source: He et al. 2020 (MoCo), arXiv:1911.05722, algorithm 1; for sentences Wu et al. 2022 (ESimCSE), arXiv:2109.04380, section 3.2.
"""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.objective.objective import Around, Objective
from pipeline.tensors import EmbeddedPairs


class Queue(Around):
    """``side``: whose vectors join, a query's or a document's; ``momentum``: share of its weights that the slow copy keeps at a step."""

    needs_slow = True
    vectors: Float[Tensor, "S D"]
    texts: Int[Tensor, " S"]
    filled: Int[Tensor, ""]  # the last so many are vectors

    def __init__(self, *, objective: Objective, size: int, momentum: float, side: Literal["query", "document"]) -> None:
        super().__init__()
        where = "see conf/objective/queue.yaml"
        if size < 0 or not 0 <= momentum < 1:
            raise ValueError(f"expected size >= 0 and momentum from 0 to below 1, got {size} and {momentum}; {where}")
        if objective.needs_layers or objective.needs_slow:
            raise ValueError(
                f"{type(objective).__name__} looks at vectors of layers, or has a queue, which a queue has none of; take another "
                f"objective inside, {where}"
            )
        self.objective = objective
        self.size = size
        self.slow_share = momentum
        self.slow_side = side
        self.needs_slow = size > 0
        for need in ("needs_score", "needs_negatives", "needs_teacher", "saves"):
            setattr(self, need, getattr(objective, need))
        self.register_buffer("vectors", torch.zeros(size, 0))
        self.register_buffer("texts", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def begin(self, *, width: int, blocks: int) -> None:
        super().begin(width=width, blocks=blocks)
        self.vectors = self.vectors.new_zeros(self.size, width)

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        loss = self.objective(self.remembered(pairs))
        if self.training and self.needs_slow and torch.is_grad_enabled():
            self._join(pairs)
        return loss

    def remembered(self, pairs: EmbeddedPairs) -> EmbeddedPairs:
        """``pairs`` with the queue behind the documents; no more similarities are held at a time."""
        num = int(self.filled)
        if not num:
            return pairs
        document = torch.cat([pairs.document, self.vectors[-num:].to(pairs.document.dtype)])
        text = torch.cat([pairs.document_text, self.texts[-num:]])
        rows_at_once = max(1, pairs.rows_at_once * len(pairs.document) // len(document))
        return replace(pairs, document=document, document_text=text, rows_at_once=rows_at_once)

    @torch.no_grad()
    def _join(self, pairs: EmbeddedPairs) -> None:
        assert pairs.slow is not None
        vectors, texts = pairs.slow
        if self.vectors.shape[1] != vectors.shape[1]:
            self.vectors = vectors.new_zeros(self.size, vectors.shape[1])
        self.vectors.copy_(torch.cat([self.vectors, vectors.to(self.vectors.dtype)])[-self.size :])
        self.texts.copy_(torch.cat([self.texts, texts])[-self.size :])
        self.filled.copy_((self.filled + len(texts)).clamp(max=self.size))
