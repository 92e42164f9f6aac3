"""Self Positioning: the sequential SLERP of task vectors whose coefficients, and whose length, a probe set chooses.

``base + norm * slerp(task vectors; a)``, with ``a`` and ``norm`` found by gradient descent on the loss of a few training pairs.
All angles come out of the inner products of the task vectors, so the graph from ``a`` to what each of them is multiplied by has
K numbers in it and no weights. The search is pipeline/stage/positioning.py; before it, all coefficients are 1.

Source: Li et al. 2024, arXiv:2410.15035, by way of notes on it: its body was not at hand. Softplus, start and optimizer are ours.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.delta import Models, total
from pipeline.merging.method import Linear
from pipeline.merging.slerp import arc

ONE = math.log(math.e - 1)  # softplus gives 1


class SelfPositioning(Linear):
    """``penalty`` is added to the loss for each unit of norm; ``previous`` and ``linear_above`` as in `arc`."""

    symmetric = False
    needs_probe = True

    def __init__(
        self, *, penalty: float, path: Literal["slerp", "linear"], previous: Literal["mean", "sum"], linear_above: float
    ) -> None:
        super().__init__()
        if penalty < 0:
            raise ValueError(f"penalty must not be negative, got {penalty}; see conf/method/self_positioning.yaml")
        if not 0 < linear_above < 1:
            raise ValueError(f"linear_above is a |cosine| in (0, 1), got {linear_above}; see conf/method/self_positioning.yaml")
        self.penalty = penalty
        self.previous: Literal["mean", "sum"] = previous
        self.linear_above = linear_above if path == "slerp" else -1.0  # every |cosine| is above that
        self.raw_a = nn.Parameter(torch.empty(0, dtype=torch.float64))
        self.raw_norm = nn.Parameter(torch.tensor(ONE, dtype=torch.float64))

    @property
    def a(self) -> Float[Tensor, " K"]:
        return F.softplus(self.raw_a)

    @property
    def norm(self) -> Float[Tensor, ""]:
        return F.softplus(self.raw_norm)

    def start(self, num: int) -> None:
        """As many coefficients as experts, all 1."""
        self.raw_a = nn.Parameter(torch.full((num,), ONE, dtype=torch.float64))

    def effective(self, gram: Float[Tensor, "K K"]) -> Float[Tensor, " K"]:
        """What each task vector is multiplied by; differentiable in the parameters."""
        return self.norm * arc(gram, self.a, previous=self.previous, linear_above=self.linear_above)

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        if len(self.raw_a) != len(models.experts):
            self.start(len(models.experts))
        with torch.no_grad():
            return {"all": self.effective(total(models.grams())[1:, 1:]).tolist()}
