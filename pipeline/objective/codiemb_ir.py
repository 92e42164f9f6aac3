"""CoDiEmb's retrieval objective: InfoNCE over one slot of positives at a time.

For slot ``p`` the candidates are positive ``p`` of every query and the hard negatives of all queries, so no other positive
of a query is ever its negative. Left out besides, which the source does not do: candidates that are no negatives (`negatives`).
Price: second positives of other queries, which InfoNCE counts as negatives, are not seen.

Source: Zhang et al. 2025 (CoDiEmb), arXiv:2508.11442, in the form of its training code.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective.candidates import log_sum, share_cost
from pipeline.objective.cosine import own_cosines
from pipeline.objective.negatives import no_negatives, positives
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def slot_costs(pairs: EmbeddedPairs, *, temperature: float) -> Float[Tensor, " R"]:
    """The cost of each anchor, averaged over the slots in which it has a positive."""
    rows = pairs.anchors
    query, given = pairs.query[rows], pairs.positive[rows] >= 0
    match = own_cosines(query, positives(pairs, rows)) / temperature

    def over(index: Tensor) -> Tensor:
        entries = no_negatives(pairs, rows, pairs.document_text[index], index)
        candidate = pairs.document.index_select(0, index)
        return log_sum(query, candidate, entries, temperature=temperature, rows_at_once=pairs.rows_at_once)

    mined = pairs.negative[pairs.negative >= 0].unique()
    hard = over(mined) if len(mined) else None
    costs: list[Tensor] = []
    for p in range(given.shape[1]):
        slot = pairs.positive[:, p]
        slot = slot[slot >= 0].unique()
        alone = slot[~torch.isin(slot, mined)]
        sums = [*([over(alone)] if len(alone) else []), *([] if hard is None else [hard])]
        costs.append(share_cost(match[:, p], torch.logaddexp(sums[0], sums[-1]) if len(sums) > 1 else sums[0]))
    return (torch.stack(costs, dim=1) * given).sum(1) / given.sum(1)


class CoDiEmbIR(Objective):
    """The mean of `slot_costs`."""

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}; see conf/objective/codiemb_ir.yaml")
        self.temperature = temperature

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        return slot_costs(pairs, temperature=self.temperature).mean()
