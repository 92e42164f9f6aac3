"""Progressive InfoNCE behind a gate: a query counts nothing where a teacher finds another text better than its answer.

The difficult queries of the rest count more.

A query counts ``gate * (1 - p + epsilon) ** gamma``, over the mean of that in the global batch, at most ``max_importance``; ``p`` is the
share of its positive. ``gate`` is 1 where the teacher's score of the answer, and ``margin``, is at least that of every text mined for the
query, else 0. ``gamma`` rises as in `progressive`. `progressive` alone presses mismatched pairs hardest, for they are difficult too.
Price: a teacher and mined negatives; a right pair that the teacher gets wrong is lost; without mined negatives a query always counts.

Ours, after the idea of Wu et al. 2023 (PEG), arXiv:2311.11691, whose formula for the weights is not known to us.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.objective.infonce import query_costs
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def gate(pairs: EmbeddedPairs, margin: float) -> Bool[Tensor, " B"]:
    """Whether the teacher finds the answer of each query of the batch as good as every text mined for it, less ``margin``."""
    assert pairs.teacher is not None
    mined = pairs.teacher[:, 1:].masked_fill(pairs.negative < 0, float("-inf"))
    highest = mined.amax(1) if mined.shape[1] else torch.full_like(pairs.teacher[:, 0], float("-inf"))
    return pairs.teacher[:, 0] + margin >= highest


def gated_importance(
    cost: Float[Tensor, " B"], open_: Bool[Tensor, " B"], *, gamma: float, epsilon: float, max_importance: float
) -> Float[Tensor, " B"]:
    """How much each query of the global batch counts, given its InfoNCE cost ``-log p``: 1 on average before the cap, or all 0."""
    raw = open_ * (1 - (-cost.detach()).exp() + epsilon) ** gamma
    return (raw / raw.mean().clamp(min=1e-12)).clamp(max=max_importance)


class ProgressiveGated(Objective):
    """The mean over the anchors."""

    needs_teacher = True
    needs_negatives = True

    def __init__(
        self,
        *,
        temperature: float,
        margin: float,
        max_gamma: float,
        start: float,
        end: float,
        epsilon: float,
        max_importance: float,
    ) -> None:
        super().__init__()
        where = "see conf/objective/progressive_gated.yaml"
        if temperature <= 0 or not 0 <= start < end <= 1:
            raise ValueError(
                f"expected temperature > 0 and shares of the training 0 <= start < end <= 1, got {temperature}, {start} and {end}; {where}"
            )
        if max_gamma < 0 or epsilon <= 0 or max_importance < 1:
            given = (max_gamma, epsilon, max_importance)
            raise ValueError(f"expected max_gamma >= 0, epsilon > 0, max_importance >= 1, got {given}; {where}")
        self.temperature = temperature
        self.margin = margin
        self.max_gamma = max_gamma
        self.start = start
        self.end = end
        self.epsilon = epsilon
        self.max_importance = max_importance

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        plain = {"temperature": self.temperature, "symmetric": False, "same_side": ()}
        cost = everyone = query_costs(pairs, pairs.anchors, **plain)
        if len(cost) < len(pairs.query):
            with torch.no_grad():  # the mean must be that of the global batch on every process
                everyone = query_costs(pairs, slice(0, len(pairs.query)), **plain)
        gamma = self.max_gamma * min(1.0, max(0.0, (pairs.progress - self.start) / (self.end - self.start)))
        limits = {"gamma": gamma, "epsilon": self.epsilon, "max_importance": self.max_importance}
        return (gated_importance(everyone, gate(pairs, self.margin), **limits)[pairs.anchors] * cost).mean()
