"""What every criterion is: predicted and measured values of a whole batch in, one loss out, the same on every process."""

from jaxtyping import Float
from torch import Tensor, nn


class Criterion(nn.Module):
    """``in_units``: predictions come out on the scale of the scores. Those of the others are put there by a line after training."""

    in_units: bool = False

    def forward(self, predicted: Float[Tensor, " B"], score: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        raise NotImplementedError
