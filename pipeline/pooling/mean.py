"""Mean of the token vectors, padding left out."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class Mean(nn.Module):
    flag = "pooling_mode_mean_tokens"  # its name in a sentence-transformers directory

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
