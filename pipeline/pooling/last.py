"""The vector of the last token: in a causal decoder the only one that has read the whole text.

Price: what stands at the end weighs more than it should; end texts with the tokenizer's end token.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.pooling.pooling import Pooling


class Last(Pooling):
    """The last token that ``mask`` counts in; zero where it counts none."""

    mode = "pooling_mode_lasttoken"

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        last_B = mask.shape[1] - 1 - mask.to(torch.int32).flip(1).argmax(1)
        row_B = torch.arange(len(hidden), device=hidden.device)
        return hidden[row_B, last_B] * mask[row_B, last_B, None].to(hidden.dtype)
