"""SLERP of task vectors: along the arc between them, so that the mixture is as long as they are.

For more than two, one after the other: the k-th is joined to the arc of those before it with the share 1/2, the rule of
sequential SLERP with equal coefficients in Self Positioning (arXiv:2410.15035), so the order counts.

Source: Shoemake 1985, doi:10.1145/325165.325242; on task vectors: arXiv:2410.15035.
"""

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.delta import Models, total
from pipeline.merging.method import Linear


def arc(
    gram: Float[Tensor, "K K"], a: Float[Tensor, " K"], *, previous: Literal["mean", "sum"], linear_above: float
) -> Float[Tensor, " K"]:
    """What each task vector is multiplied by in the sequential SLERP with coefficients ``a``; differentiable in ``a``.

    The k-th is joined with the share ``a_k / (previous(a_1..a_{k-1}) + a_k)``. Beyond |cosine| ``linear_above``, or where one of
    the two has no length, the two are mixed linearly; with a warning where they point against each other.
    """
    c = torch.zeros_like(a)
    c[0] = 1
    for k in range(1, len(a)):
        before = a[:k].mean() if previous == "mean" else a[:k].sum()
        share = a[k] / (before + a[k])
        unit = torch.zeros_like(a)
        unit[k] = 1
        between = (c @ gram @ c).clamp(min=0).sqrt() * gram[k, k].sqrt()
        cosine = (c @ gram[:, k] / between).clamp(-1, 1) if float(between.detach()) > 0 else torch.ones_like(share)
        if abs(float(cosine.detach())) > linear_above:
            if float(cosine.detach()) < -abs(linear_above):
                warnings.warn(
                    f"task vector {k + 1} points against those before it (cosine {float(cosine.detach()):.4f}): there is no one "
                    f"arc between them, so they are mixed linearly and cancel each other in part; check the experts",
                    stacklevel=2,
                )
            c = (1 - share) * c + share * unit
        else:
            angle = torch.acos(cosine)
            c = (torch.sin((1 - share) * angle) * c + torch.sin(share * angle) * unit) / torch.sin(angle)
    return c


class Slerp(Linear):
    """``base + norm * slerp(task vectors)``; the angle over all parameters together, or of each tensor."""

    symmetric = False

    def __init__(self, *, norm: float, linear_above: float, scope: Literal["model", "tensor"]) -> None:
        super().__init__()
        if norm < 0:
            raise ValueError(f"norm must not be negative, got {norm}; see conf/merging/slerp.yaml")
        if not 0 < linear_above < 1:
            raise ValueError(f"linear_above is a |cosine| in (0, 1), got {linear_above}; see conf/merging/slerp.yaml")
        self.norm = norm
        self.linear_above = linear_above
        self.scope = scope

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        grams = models.grams()
        by_scope = grams if self.scope == "tensor" else {"all": total(grams)}
        equal = torch.ones(len(models.experts), dtype=torch.float64)
        return {
            name: (self.norm * arc(gram[1:, 1:], equal, previous="mean", linear_above=self.linear_above)).tolist()
            for name, gram in by_scope.items()
        }
