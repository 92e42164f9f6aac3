"""Mean squared error, in squared units of the score."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pipeline.protein.criterion.criterion import Criterion


class MSE(Criterion):
    in_units = True

    def forward(self, predicted: Float[Tensor, " B"], score: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        return F.mse_loss(predicted, score)
