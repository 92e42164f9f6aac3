"""The vector of the first token, where the model was trained to gather the text."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.pooling.pooling import Pooling


class Cls(Pooling):
    """The first token that ``mask`` counts in."""

    mode = "pooling_mode_cls_token"

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        first_B = mask.to(torch.int32).argmax(1)
        return hidden[torch.arange(len(hidden), device=hidden.device), first_B]
