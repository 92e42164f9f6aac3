"""The vector of the first token, where the model was trained to gather the text."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class Cls(nn.Module):
    flag = "pooling_mode_cls_token"  # its name in a sentence-transformers directory

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        return hidden[:, 0]
