"""Margin ranking: of two complexes the one that binds more tightly must be predicted higher, by a margin.

Over all pairs of the batch whose scores differ by more than ``least_gap``: smaller differences are within the error of assays.
"""

from jaxtyping import Float
from torch import Tensor

from pipeline.protein.criterion.criterion import Criterion


def margin_ranking(
    predicted: Float[Tensor, " B"], score: Float[Tensor, " B"], *, margin: float, least_gap: float
) -> Float[Tensor, ""]:
    """Mean over the pairs; 0 where there is none."""
    above = score[:, None] - score > least_gap
    cost = (margin - (predicted[:, None] - predicted)).clamp(min=0) * above
    return cost.sum() / above.sum().clamp(min=1)


class MarginRanking(Criterion):
    def __init__(self, *, margin: float, least_gap: float) -> None:
        super().__init__()
        if margin <= 0 or least_gap < 0:
            raise ValueError(
                f"margin must be positive and least_gap 0 or more, got {margin} and {least_gap}; see conf/criterion/margin_ranking.yaml"
            )
        self.margin = margin
        self.least_gap = least_gap

    def forward(self, predicted: Float[Tensor, " B"], score: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        return margin_ranking(predicted, score, margin=self.margin, least_gap=self.least_gap)
