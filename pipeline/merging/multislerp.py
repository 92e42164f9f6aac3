"""Multi-SLERP: the spherical mean of any number of task vectors at once, so that their order does not count.

Each task vector of a tensor is put on the unit sphere; the mean is taken in the tangent space at the normalised linear mean and
brought back with the exponential map; the length is the mean of the lengths. All of it lies in the span of the task vectors, so
the Gram matrix of the tensor is enough. mergekit's ``multislerp`` projects where this takes the logarithm; its sum in the tangent
space is always 0, so it gives the normalised linear mean at the mean length (tests/merging/test_mergekit.py).

Source: Buss and Fillmore 2001, doi:10.1145/502122.502124 (spherical means).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.delta import Models
from pipeline.merging.method import Linear, shares

_TINY = 1e-12


def spherical_mean(gram: Float[Tensor, "K K"], w: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
    """Coefficients of the mean with shares ``w``. ValueError where the linear mean vanishes: opposite vectors have no middle."""
    length = gram.diagonal().clamp(min=0).sqrt()
    if float(length.max()) < _TINY:
        return torch.zeros_like(w)
    used = length > _TINY * length.max()
    scale = torch.where(used, 1 / length.clamp(min=_TINY * length.max()), torch.zeros_like(length))
    unit = gram * scale[:, None] * scale[None, :]  # inner products of the unit vectors
    size = (w @ unit @ w).clamp(min=0).sqrt()
    if float(size) < 1e-6:
        raise ValueError("the task vectors cancel (anti-parallel): their spherical mean is not defined; use soup or slerp")
    middle = w / size
    cosine = (unit @ middle).clamp(-1, 1)
    tangent = torch.zeros_like(w)
    for k in range(len(w)):
        out = -cosine[k] * middle
        out[k] += 1
        norm = (out @ unit @ out).clamp(min=0).sqrt()
        if float(norm) > 1e-9 and bool(used[k]):
            tangent = tangent + w[k] * torch.acos(cosine[k]) * out / norm
    angle = (tangent @ unit @ tangent).clamp(min=0).sqrt()
    turned = middle if float(angle) < 1e-9 else torch.cos(angle) * middle + torch.sin(angle) * tangent / angle
    return turned * scale * (w @ length)


class MultiSlerp(Linear):
    """``base + norm * spherical mean``, tensor by tensor."""

    def __init__(self, *, norm: float, weights: Sequence[float]) -> None:
        super().__init__()
        self.norm = norm
        self.weights = weights
        self.symmetric = not weights

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        w = torch.tensor(shares(self.weights, len(models.experts), "see conf/merging/multislerp.yaml"), dtype=torch.float64)
        found: dict[str, Sequence[float]] = {}
        for name, gram in models.grams().items():
            try:
                found[name] = (self.norm * spherical_mean(gram[1:, 1:], w)).tolist()
            except ValueError as error:
                raise ValueError(f"{models.experts[0].places[name].file}, tensor {name}: {error}") from None
        return found
