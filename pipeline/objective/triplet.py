"""Triplet loss: a positive must score higher than a negative by a margin; a pair that does costs nothing.

Price: only triplets inside the margin teach, so with the hardest negative alone a mislabelled document teaches most.

Source: Schroff et al. 2015 (FaceNet), arXiv:1503.03832, eq. 1, on cosines.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from pipeline.objective.candidates import nearest
from pipeline.objective.cosine import own_cosines
from pipeline.objective.negatives import documents_of, every_document, no_negatives, positives
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def triplet_costs(
    positive: Float[Tensor, "R P"], negative: Float[Tensor, "R H"], weight_RPH: Float[Tensor, "R P H"], *, margin: float
) -> Float[Tensor, " R"]:
    """``max(0, margin + negative - positive)`` of cosines, averaged over a query's triplets by ``weight_RPH`` (1 or 0)."""
    cost_RPH = (margin + negative[:, None, :] - positive[:, :, None]).clamp(min=0)
    return (cost_RPH * weight_RPH).sum((1, 2)) / weight_RPH.sum((1, 2)).clamp(min=1)


class Triplet(Objective):
    """The mean over the anchors; a query without a negative costs nothing.

    ``negatives``: ``mined`` for the query, or the ``hardest`` of all documents of the batch that may be one (`negatives`).
    """

    def __init__(self, *, margin: float, negatives: Literal["mined", "hardest"]) -> None:
        super().__init__()
        if not 0 < margin <= 2:
            raise ValueError(
                f"margin must be in (0, 2], a difference of cosines, got {margin}; see conf/objective/triplet.yaml"
            )
        if negatives not in ("mined", "hardest"):
            raise ValueError(f"negatives must be mined or hardest, got {negatives!r}; see conf/objective/triplet.yaml")
        self.margin = margin
        self.negatives = negatives
        self.needs_negatives = negatives == "mined"

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        rows = pairs.anchors
        query, given = pairs.query[rows], pairs.positive[rows] >= 0
        match = own_cosines(query, positives(pairs, rows))
        if self.negatives == "mined":
            index = pairs.negative[rows]
        else:
            entries = no_negatives(pairs, rows, pairs.document_text, every_document(pairs))
            index = nearest(query, pairs.document, entries, rows_at_once=pairs.rows_at_once)[:, None]
        wrong = own_cosines(query, documents_of(pairs, index))
        weight = (given[:, :, None] & (index >= 0)[:, None, :]).to(match.dtype)
        return triplet_costs(match, wrong, weight, margin=self.margin).mean()
