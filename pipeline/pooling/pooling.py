"""What every pooling is: token vectors and a mask in, one vector a text out. Texts are padded at the right."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class Pooling(nn.Module):
    """``mode``: its flag in a sentence-transformers directory, or None where sentence-transformers has no such pooling;
    ``module`` is then the class that does it there."""

    mode: str | None = None
    module: str | None = None

    def set_width(self, width: int) -> None:
        """Called once with the width of the backbone; a pooling with weights makes them here."""

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        raise NotImplementedError
