"""CoSENT: pairs with a higher gold score must have a higher cosine, whatever the two values are.

Price: only the order inside a batch teaches, so a batch of equal scores teaches nothing.

Source: Su 2022, kexue.fm/archives/8847; the form used by AnglE (Li and Li 2023, arXiv:2309.12871, eq. 3).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective.cosine import pair_cosines
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def cosent(similarity: Float[Tensor, " B"], score: Float[Tensor, " B"], *, scale: float) -> Float[Tensor, ""]:
    """``log(1 + sum of exp(scale (similarity_j - similarity_i)))`` over all ordered pairs with ``score_i > score_j``.

    Sorted by score, the pairs below ``i`` stand before it: a running sum takes B log B steps in place of B x B.
    """
    ordered, order = score.sort(stable=True)
    z = scale * similarity[order]
    num_below = torch.searchsorted(ordered, ordered)
    above = num_below > 0
    excess = torch.logcumsumexp(z, dim=0)[num_below[above] - 1] - z[above]
    return torch.logsumexp(torch.cat([z.new_zeros(1), excess]), dim=0)


class CoSENT(Objective):
    """`cosent` of the cosines."""

    needs_score = True

    def __init__(self, *, scale: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}; see conf/objective/cosent.yaml")
        self.scale = scale

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        assert pairs.score is not None, "rows without a score are refused before training"
        cosine = pair_cosines(pairs.query, pairs.document.index_select(0, pairs.positive[:, 0]))
        return cosent(cosine, pairs.score, scale=self.scale)
