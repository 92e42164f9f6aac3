"""Mean of the token vectors by position, the first counting 1, the second 2: later tokens of a decoder have read more.

Source: Muennighoff 2022 (SGPT), arXiv:2202.08904, eq. 2.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.pooling.mean import weighted
from pipeline.pooling.pooling import Pooling


class WeightedMean(Pooling):
    """Tokens that ``mask`` leaves out keep their positions."""

    mode = "pooling_mode_weightedmean_tokens"

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        return weighted(hidden, mask * torch.arange(1, mask.shape[1] + 1, device=mask.device))
