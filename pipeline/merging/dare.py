"""DARE: drop most elements of each task vector at random, and enlarge the rest by as much; then add, or elect signs as TIES does.

``rescale``: inverse, by 1 / density (the paper); l1, so that the sum of absolute values of the tensor stays what it was
(mergekit). The two agree on average.

The mean over draws is what the whole task vectors would give for ``sum`` and ``mean``. For ``elect`` it is more: the mean is taken
over those that stayed and agree, so a dropped element is not counted as 0. Two equal experts come out ``2 - density`` times as long as
one of them on average, as in mergekit. Choose ``norm`` with that in mind.

Source: Yu et al. 2024, arXiv:2311.03099.
"""

import hashlib
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.delta import Models, Rows
from pipeline.merging.method import Method
from pipeline.merging.ties import elected_mean


def mask(seed: int, name: str, expert: int, start: int, size: int, density: float) -> Bool[Tensor, " n"]:
    """Which elements stay: drawn for this part of this tensor of this expert, whatever else is merged."""
    digest = hashlib.blake2b(f"{seed} {name} {expert} {start}".encode(), digest_size=6).digest()
    return torch.rand(size, generator=torch.Generator().manual_seed(int.from_bytes(digest, "little"))) < density


class Dare(Method):
    """``base + norm * sum (or elected mean) of the thinned task vectors``; ``sign`` chooses between the two."""

    symmetric = False  # each expert has a mask of its own

    def __init__(
        self,
        *,
        density: float,
        norm: float,
        sign: Literal["sum", "mean", "elect"],
        rescale: Literal["inverse", "l1"],
        seed: int,
    ) -> None:
        super().__init__()
        if not 0 < density <= 1:
            raise ValueError(f"density must be in (0, 1], got {density}; see conf/merging/dare.yaml")
        self.density = density
        self.norm = norm
        self.sign = sign
        self.rescale = rescale
        self.seed = seed
        self.factors: dict[str, list[float]] = {}

    def prepare(self, models: Models) -> None:
        num = len(models.experts)
        for name in models.names:
            before, after = torch.zeros(num, dtype=torch.float64), torch.zeros(num, dtype=torch.float64)
            if self.rescale == "l1":
                for start, rows in models.parts(name):
                    before += rows[1:].abs().sum(1)
                    after += self._thinned(name, start, rows[1:]).abs().sum(1)
            # Expert by expert: one that did not move the tensor, or of which nothing stayed, changes nothing for the others.
            factor = torch.where(after > 0, before / after, 1 / self.density)
            self.factors[name] = factor.tolist()

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        deltas = self._thinned(name, start, rows[1:]) * torch.tensor(self.factors[name])[:, None]
        if self.sign == "elect":
            return rows[0] + self.norm * elected_mean(deltas)
        return rows[0] + self.norm * (deltas.sum(0) if self.sign == "sum" else deltas.mean(0))

    def _thinned(self, name: str, start: int, deltas: Float[Tensor, "K n"]) -> Float[Tensor, "K n"]:
        if self.density == 1:
            return deltas
        masks = [mask(self.seed, name, k, start, deltas.shape[1], self.density) for k in range(len(deltas))]
        return deltas * torch.stack(masks)
