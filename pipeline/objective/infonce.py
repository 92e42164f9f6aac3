"""InfoNCE with in-batch and hard negatives.

Each query must score its own document above every other candidate in the batch.
Price: a copy of the positive among the candidates is punished as a negative, so curate removes duplicates first.

Source: van den Oord et al. 2018, arXiv:1807.03748, eq. 4.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.tensors import EmbeddedPairs


def info_nce(
    query: Float[Tensor, "B D"], document: Float[Tensor, "N D"], positive: Int[Tensor, " B"], *, temperature: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of picking document ``positive[i]`` for query ``i`` among all ``N``.

    Rows of ``query`` and ``document`` have unit length, so scores are cosines.
    """
    sim_BN = query @ document.T / temperature
    return F.cross_entropy(sim_BN, positive)


class InfoNCE(nn.Module):
    """`info_nce` as an objective."""

    needs_score = False

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}; see conf/objective/infonce.yaml")
        self.temperature = temperature

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        return info_nce(
            pairs.query[pairs.anchors], pairs.document, pairs.positive[pairs.anchors, 0], temperature=self.temperature
        )
