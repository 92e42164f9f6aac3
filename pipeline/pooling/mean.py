"""Mean of the token vectors, padding left out."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.pooling.pooling import Pooling


class Mean(Pooling):
    mode = "pooling_mode_mean_tokens"

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        return weighted(hidden, mask)


def weighted(hidden: Float[Tensor, "B L D"], weight: Tensor) -> Float[Tensor, "B D"]:
    """Mean by ``weight`` [B, L], summed in float32 at least; zero where all weights are."""
    precise = torch.promote_types(hidden.dtype, torch.float32)
    weight = weight.unsqueeze(-1).to(precise)
    return ((hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)).to(hidden.dtype)
