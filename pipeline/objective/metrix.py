"""Metrix: beside any objective, vectors mixed of an answer and a wrong text, which count as answers by the share of the answer in them.

For query ``q`` with main answer ``p`` and the nearest negative ``n`` of the batch: ``v = a p + (1 - a) n`` at unit length, or, in other
steps, ``a q + (1 - a) n``. With the negatives of ``q`` as the rest,

    mixed = a (-log share of v) + (1 - a) (-log share of p, v being a negative too)

and the loss is the objective plus ``weight`` times its mean. ``a`` is drawn anew for each query and step.
Labels are what the rows say belongs to a query: a nearest "negative" that answers without being marked spoils what is learned.
Price: one more pass over the similarities. Mixing inputs or hidden states is refused: it would go round the chunks of a batch.

Source: Venkataramanan et al. 2022 (Metrix), arXiv:2106.04990, sections 3.3 and 3.4, on embeddings. Ours: the form for InfoNCE, above.
"""

import random
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pipeline.objective.candidates import log_sum, nearest, share_cost
from pipeline.objective.cosine import pair_cosines, precise
from pipeline.objective.negatives import every_document, no_negatives
from pipeline.objective.objective import Around, Objective
from pipeline.tensors import EmbeddedPairs


def mixed_costs(
    pairs: EmbeddedPairs, share: Float[Tensor, " R"], label: Float[Tensor, " R"], *, of: str, temperature: float
) -> Float[Tensor, " R"]:
    """The cost ``mixed`` of each anchor, 0 where it has no negative. ``share``: of the answer (``of`` positive) or of the query itself
    (``of`` anchor) in the mix; ``label``: how much of an answer the mix counts for."""
    rows = pairs.anchors
    query, own = pairs.query[rows], pairs.document.index_select(0, pairs.positive[rows, 0])
    left_out = no_negatives(pairs, rows, pairs.document_text, every_document(pairs))
    place = nearest(query, pairs.document, left_out, rows_at_once=pairs.rows_at_once)
    wrong = pairs.document.index_select(0, place.clamp(min=0))
    share, label = share.to(precise(query).dtype), label.to(precise(query).dtype)
    side = own if of == "positive" else query
    mix = F.normalize(share[:, None] * precise(side) + (1 - share[:, None]) * precise(wrong), dim=-1)
    others = log_sum(query, pairs.document, left_out, temperature=temperature, rows_at_once=pairs.rows_at_once)
    match, mixed = pair_cosines(query, own) / temperature, pair_cosines(query, mix) / temperature
    cost = label * share_cost(mixed, others) + (1 - label) * share_cost(match, torch.logaddexp(others, mixed))
    return torch.where(place >= 0, cost, torch.zeros_like(cost))


class Metrix(Around):
    """``alpha``: of the Beta distribution of shares. ``mixes``: one is drawn for a step. ``random_labels``: the control, in which a mix
    counts for anything."""

    def __init__(
        self,
        *,
        objective: Objective,
        weight: float,
        alpha: float,
        temperature: float,
        mixes: Sequence[Literal["positive", "anchor"]],
        random_labels: bool,
    ) -> None:
        super().__init__()
        where = "see conf/objective/metrix.yaml"
        if weight < 0 or alpha <= 0 or temperature <= 0:
            raise ValueError(
                f"expected weight >= 0, alpha > 0 and temperature > 0, got {weight}, {alpha} and {temperature}; {where}"
            )
        if not mixes or set(mixes) - {"positive", "anchor"}:
            raise ValueError(f"mixes holds positive, anchor or both, got {list(mixes)}; {where}")
        self.objective = objective
        self.weight = weight
        self.alpha = alpha
        self.temperature = temperature
        self.mixes = tuple(mixes)
        self.random_labels = random_labels
        for need in ("needs_score", "needs_negatives", "needs_teacher", "needs_layers", "saves"):
            setattr(self, need, getattr(objective, need))
        if objective.needs_slow:
            raise ValueError(f"put metrix inside of the queue, not the queue inside of metrix; {where}")

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        loss = self.objective(pairs)
        if not self.weight:
            return loss
        draw = random.Random(f"metrix {pairs.progress!r}")  # for the whole batch, so the same on every process
        of = draw.choice(self.mixes)
        num = len(pairs.query)
        share = torch.tensor([draw.betavariate(self.alpha, self.alpha) for _ in range(num)])
        label = torch.tensor([draw.random() for _ in range(num)]) if self.random_labels else share
        own = [one[pairs.anchors].to(pairs.query.device) for one in (share, label)]
        return loss + self.weight * mixed_costs(pairs, *own, of=of, temperature=self.temperature).mean()
