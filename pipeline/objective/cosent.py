"""CoSENT: pairs with a higher gold score must have a higher cosine, whatever the two values are.

Price: only the order inside a batch teaches, so a batch of equal scores teaches nothing, and the cost grows with its square.

Source: Su 2022, kexue.fm/archives/8847; the form used by AnglE (Li and Li 2023, arXiv:2309.12871, eq. 3).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.tensors import EmbeddedPairs


def cosent(cosine: Float[Tensor, " B"], score: Float[Tensor, " B"], *, scale: float) -> Float[Tensor, ""]:
    """``log(1 + sum of exp(scale (cosine_j - cosine_i)))`` over all ordered pairs with ``score_i > score_j``."""
    difference_BB = scale * (cosine[None, :] - cosine[:, None])
    wrong_BB = difference_BB.masked_fill(score[:, None] <= score[None, :], float("-inf"))
    return torch.logsumexp(torch.cat([cosine.new_zeros(1), wrong_BB.flatten()]), dim=0)


class CoSENT(nn.Module):
    """`cosent` as an objective."""

    needs_score = True

    def __init__(self, *, scale: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}; see conf/objective/cosent.yaml")
        self.scale = scale

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        assert pairs.score is not None, "rows without a score are refused before training"
        cosine = (pairs.query * pairs.document[pairs.positive[:, 0]]).sum(-1)
        return cosent(cosine.float(), pairs.score, scale=self.scale)
