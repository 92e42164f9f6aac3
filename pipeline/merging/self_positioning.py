"""Self Positioning: the sequential SLERP of task vectors whose coefficients, and whose length, a probe set chooses.

``base + norm * slerp(task vectors; a)``, with ``a`` and ``norm`` found by gradient descent on the loss of a few pairs that
nothing was trained on (the source draws them from the training data).
All angles come out of the inner products of the task vectors, so the graph from ``a`` to what each of them is multiplied by has
K numbers in it and no weights. The search is pipeline/probing/search.py; without it, all coefficients are 1.

Source: Li et al. 2024, arXiv:2410.15035, by way of notes on it: its body was not at hand. Softplus, start and optimizer are ours.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.delta import Grams, layer_of, total
from pipeline.merging.method import Searched
from pipeline.merging.slerp import arc

ONE = math.log(math.e - 1)  # softplus gives 1


class SelfPositioning(Searched):
    """``penalty`` is added to the loss for each unit of norm; ``previous`` and ``linear_above`` as in `arc`.

    ``scope``: whose angles the arcs have, those of the whole task vectors or of their parts; the coefficients are the same for all.
    """

    symmetric = False

    def __init__(
        self,
        *,
        penalty: float,
        path: Literal["slerp", "linear"],
        scope: Literal["model", "layer", "tensor"],
        previous: Literal["mean", "sum"],
        linear_above: float,
    ) -> None:
        super().__init__()
        if penalty < 0:
            raise ValueError(f"penalty must not be negative, got {penalty}; see conf/merging/self_positioning.yaml")
        if not 0 < linear_above < 1:
            raise ValueError(
                f"linear_above is a |cosine| in (0, 1), got {linear_above}; see conf/merging/self_positioning.yaml"
            )
        self.penalty = penalty
        self.scope = scope
        self.previous: Literal["mean", "sum"] = previous
        self.linear_above = linear_above if path == "slerp" else -1.0  # every |cosine| is above that
        self.raw_a = nn.Parameter(torch.empty(0))
        self.raw_norm = nn.Parameter(torch.tensor([ONE]))  # of one dimension: DeepSpeed sends no parameter without

    @property
    def a(self) -> Float[Tensor, " K"]:
        return F.softplus(self.raw_a.double())

    @property
    def norm(self) -> Float[Tensor, ""]:
        return F.softplus(self.raw_norm.double())[0]

    def start(self, num: int, names: Sequence[str]) -> None:
        """As many coefficients as experts, all 1."""
        self.raw_a = nn.Parameter(torch.full((num,), ONE))

    def started(self, num: int, names: Sequence[str]) -> bool:
        return len(self.raw_a) == num

    def effective(self, grams: Grams) -> dict[str, Float[Tensor, " K"]]:
        """What each task vector is multiplied by."""
        if self.scope == "model":
            return {"all": self._on_arc(grams)}
        of = {name: layer_of(name) if self.scope == "layer" else name for name in grams}
        found = {
            part: self._on_arc({name: gram for name, gram in grams.items() if of[name] == part})
            for part in sorted(set(of.values()))
        }
        return {name: found[of[name]] for name in grams}

    def _on_arc(self, grams: Grams) -> Float[Tensor, " K"]:
        c = arc(total(grams)[1:, 1:], self.a, previous=self.previous, linear_above=self.linear_above)
        return self.norm * c + 0 * self.a.sum()  # the last, as one expert has no arc, and DDP waits for every gradient

    def cost(self) -> Tensor:
        return self.penalty * self.norm

    def numbers(self) -> dict[str, float]:
        return {"norm": self.norm.item()} | {f"a/{k}": value for k, value in enumerate(self.a.tolist())}
