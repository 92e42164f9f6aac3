"""ListMLE: the likelihood of the true order, where the best is drawn first, then the best of the rest, and so on.

Divided by the length of the list, so that batch sizes compare. Equal scores keep the order of the batch, which is random.
Source: Xia et al. 2008, ICML, section 4.
"""

from jaxtyping import Float
from torch import Tensor

from pipeline.protein.criterion.criterion import Criterion


def list_mle(predicted: Float[Tensor, " B"], score: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    ordered = predicted[score.argsort(descending=True, stable=True)]
    rest = ordered.flip(0).logcumsumexp(0).flip(0)
    return (rest - ordered).mean()


class ListMLE(Criterion):
    def forward(self, predicted: Float[Tensor, " B"], score: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        return list_mle(predicted, score)
