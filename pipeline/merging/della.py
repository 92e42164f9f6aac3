"""DELLA: as DARE, but an element of a task vector is the likelier to stay the larger it is in its row; and is enlarged accordingly.

Within a row of ``n`` elements, rank ``r`` by magnitude from 0 stays with probability ``p = density - spread + 2 spread r / (n - 1)``
and is divided by ``p``, so the mean over draws is the task vector. A vector is one row; an element alone in its row has no rank and
stays with probability ``density``.

Price of ``elect``: as in DARE (pipeline/merging/dare.py), what is joined is larger than the task vectors on average.

Source: Deep et al. 2024, arXiv:2406.11617, section 3 (MAGPRUNE; elect; fuse).
"""

import hashlib
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.delta import Models, Rows
from pipeline.merging.method import Method
from pipeline.merging.ties import elected_mean


class Della(Method):
    """``base + norm * sum, mean or elected mean of the thinned task vectors``."""

    whole = True
    symmetric = False  # each expert has a mask of its own

    def __init__(self, *, density: float, spread: float, norm: float, sign: Literal["sum", "mean", "elect"], seed: int) -> None:
        super().__init__()
        if not 0 < density <= 1 or not 0 <= spread < density or density + spread > 1:
            raise ValueError(
                f"expected 0 <= spread < density, and density + spread at most 1, got density {density}, spread {spread}; "
                f"see conf/merging/della.yaml"
            )
        self.density = density
        self.spread = spread
        self.norm = norm
        self.sign = sign
        self.seed = seed
        self.shapes: dict[str, tuple[int, ...]] = {}

    def prepare(self, models: Models) -> None:
        self.shapes = {name: models.shape(name) for name in models.names}

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        shape = self.shapes[name]
        deltas = rows[1:]
        for k in range(len(deltas)):
            stay = self.chances(deltas[k].view(shape[0] if len(shape) > 1 else 1, -1)).flatten()
            digest = hashlib.blake2b(f"{self.seed} {name} {k}".encode(), digest_size=6).digest()
            draw = torch.rand(len(stay), generator=torch.Generator().manual_seed(int.from_bytes(digest, "little")))
            deltas[k] = torch.where(draw < stay, deltas[k] / stay, 0.0)
        if self.sign == "elect":
            return rows[0] + self.norm * elected_mean(deltas)
        return rows[0] + self.norm * (deltas.sum(0) if self.sign == "sum" else deltas.mean(0))

    def chances(self, delta: Float[Tensor, "R n"]) -> Float[Tensor, "R n"]:
        """The probability of each element to stay; equal magnitudes in the order they stand."""
        num = delta.shape[1]
        if num == 1:
            return torch.full_like(delta, self.density)
        rank = delta.abs().argsort(dim=1, stable=True).argsort(dim=1)
        return self.density - self.spread + 2 * self.spread * rank / (num - 1)
