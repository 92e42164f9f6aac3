"""Progressive InfoNCE: difficult samples weigh more the further training is, or difficult negatives do.

Ours, after the idea of Wu et al. 2023 (PEG), arXiv:2311.11691, whose formula for the weights is not known to us. Two ways:

``query_focal``: a query counts ``(1 - p + epsilon) ** gamma``, with ``p`` the share of its positive, over the mean of that in the
global batch, at most ``max_importance``; ``gamma`` rises from 0 at progress ``start`` to ``max_gamma`` at ``end``.
``curricular``: a negative with cosine ``s`` above that of the positive less ``margin`` counts as ``s (t + s)``, ``t`` being a moving
average of the positives' cosines: early that damps it, later it presses. The rule is that of Huang et al. 2020
(CurricularFace), arXiv:2004.00288, eq. 8, on cosines in place of angles; negative cosines stay as they are.
``none``: plain InfoNCE.
Price: a mislabelled pair is a difficult one as well.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective.candidates import in_blocks, share_cost
from pipeline.objective.cosine import all_cosines, own_cosines
from pipeline.objective.infonce import query_costs
from pipeline.objective.negatives import every_document, no_negatives, positives
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def focal_importance(cost: Float[Tensor, " B"], *, gamma: float, epsilon: float, max_importance: float) -> Float[Tensor, " B"]:
    """How much each query of the global batch counts, given its InfoNCE cost ``-log p``: 1 on average before the cap."""
    raw = (1 - (-cost.detach()).exp() + epsilon) ** gamma
    return (raw / raw.mean()).clamp(max=max_importance)


def curricular_costs(
    pairs: EmbeddedPairs, rows: slice, t: Float[Tensor, ""], *, temperature: float, margin: float
) -> Float[Tensor, " R"]:
    """`query_costs` with difficult negatives modulated."""
    query, given, own = pairs.query[rows], pairs.positive[rows] >= 0, positives(pairs, rows)
    numbers = torch.arange(len(pairs.query), device=query.device)[rows]
    slots = range(given.shape[1])

    def cost(query: Tensor, own: Tensor, given: Tensor, rows: Tensor) -> Tensor:
        similarity, match = all_cosines(query, pairs.document), own_cosines(query, own)
        left_out = torch.zeros_like(similarity, dtype=torch.bool)
        left_out[no_negatives(pairs, rows, pairs.document_text, every_document(pairs))] = True
        total = torch.zeros_like(match[:, 0])
        for p in slots:
            hard = (similarity > match[:, p, None] - margin) & (similarity > 0)
            negative = torch.where(hard, similarity * (t + similarity), similarity) / temperature
            others = negative.masked_fill(left_out, -1e30).logsumexp(1)
            total = total + share_cost(match[:, p] / temperature, others) * given[:, p]
        return total / given.sum(1)

    return in_blocks(cost, query, own, given, numbers, rows_at_once=pairs.rows_at_once)


class Progressive(Objective):
    """The mean over the anchors. ``t`` is kept in the training's checkpoints and moves once per call in training."""

    t: Tensor

    def __init__(
        self,
        *,
        kind: Literal["none", "query_focal", "curricular"],
        temperature: float,
        max_gamma: float,
        start: float,
        end: float,
        epsilon: float,
        max_importance: float,
        momentum: float,
        margin: float,
    ) -> None:
        super().__init__()
        where = "see conf/objective/progressive.yaml"
        if kind not in ("none", "query_focal", "curricular"):
            raise ValueError(f"kind must be none, query_focal or curricular, got {kind!r}; {where}")
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}; {where}")
        if not 0 <= start < end <= 1:
            raise ValueError(f"start and end are shares of the training, 0 <= start < end <= 1, got {start} and {end}; {where}")
        if max_gamma < 0 or epsilon <= 0 or max_importance < 1:
            given = (max_gamma, epsilon, max_importance)
            raise ValueError(f"expected max_gamma >= 0, epsilon > 0, max_importance >= 1, got {given}; {where}")
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum is the share of the newest batch, in (0, 1], got {momentum}; {where}")
        self.kind = kind
        self.temperature = temperature
        self.max_gamma = max_gamma
        self.start = start
        self.end = end
        self.epsilon = epsilon
        self.max_importance = max_importance
        self.momentum = momentum
        self.margin = margin
        self.register_buffer("t", torch.zeros(()))

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        if self.kind == "curricular":
            if self.training and torch.is_grad_enabled():
                self._follow(pairs)
            now = self.t.clone()  # the next batch moves t before the backward of this one reads it
            return curricular_costs(pairs, pairs.anchors, now, temperature=self.temperature, margin=self.margin).mean()
        plain = {"temperature": self.temperature, "symmetric": False, "same_side": ()}
        cost = query_costs(pairs, pairs.anchors, **plain)
        gamma = self.gamma(pairs.progress)
        if self.kind == "none" or not gamma:
            return cost.mean()
        everyone = cost
        if len(cost) < len(pairs.query):
            with torch.no_grad():  # the mean must be that of the global batch on every process
                everyone = query_costs(pairs, slice(0, len(pairs.query)), **plain)
        limits = {"gamma": gamma, "epsilon": self.epsilon, "max_importance": self.max_importance}
        importance = focal_importance(everyone, **limits)
        return (importance[pairs.anchors] * cost).mean()

    def gamma(self, progress: float) -> float:
        return self.max_gamma * min(1.0, max(0.0, (progress - self.start) / (self.end - self.start)))

    @torch.no_grad()
    def _follow(self, pairs: EmbeddedPairs) -> None:
        given = pairs.positive >= 0
        match = own_cosines(pairs.query, positives(pairs, slice(0, len(pairs.query))))
        mean = ((match * given).sum(1) / given.sum(1)).mean()
        self.t.mul_(1 - self.momentum).add_(mean.to(self.t.dtype), alpha=self.momentum)
