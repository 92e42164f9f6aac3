"""TIES: trim each task vector to its largest values, elect a sign per parameter, average those that agree with it.

``scope`` tensor trims every tensor to ``density`` of its elements, as mergekit does; model trims all together, as the
authors' code does. Values equal to the smallest kept one are all kept, so that the result does not hang on their order.

Source: Yadav et al. 2023, arXiv:2306.01708, algorithm 1.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.delta import Models, Rows
from pipeline.merging.method import Method


def elected_mean(deltas: Float[Tensor, "K n"]) -> Float[Tensor, " n"]:
    """Mean of the non-zero values whose sign is that of the sum (a sum of 0 counts as positive); 0 where there is none."""
    positive = deltas.sum(0) >= 0
    agree = torch.where(positive, deltas > 0, deltas < 0)
    return (deltas * agree).sum(0) / agree.sum(0).clamp(min=1)


def thresholds(models: Models, names: list[str], density: float) -> list[float]:
    """For each expert the smallest |delta| among the largest ``density`` of ``names`` taken together. Exact, in two passes.

    The bits of a non-negative fp32 number, read as an integer, are in its order: a count by the upper 16 bits finds the bin,
    a count by the lower 16 inside it the number.
    """
    num = len(models.experts)
    numel = sum(models.base.places[name].numel for name in names)
    wanted = max(1, int(density * numel))
    upper, lower = torch.zeros(num, 1 << 16, dtype=torch.int64), torch.zeros(num, 1 << 16, dtype=torch.int64)
    for name in names:
        for _, rows in models.parts(name):
            bits = rows[1:].abs().view(torch.int32)
            for k in range(num):
                upper[k] += torch.bincount(bits[k] >> 16, minlength=1 << 16)
    bins = [_from_above(upper[k], wanted) for k in range(num)]
    for name in names:
        for _, rows in models.parts(name):
            bits = rows[1:].abs().view(torch.int32)
            for k in range(num):
                inside = bits[k][(bits[k] >> 16) == bins[k][0]]
                lower[k] += torch.bincount(inside & 0xFFFF, minlength=1 << 16)
    found = [(bins[k][0] << 16) | _from_above(lower[k], wanted - bins[k][1])[0] for k in range(num)]
    return torch.tensor(found, dtype=torch.int32).view(torch.float32).tolist()


def _from_above(counts: Tensor, wanted: int) -> tuple[int, int]:
    """The bin in which the ``wanted``-th from above lies, and how many lie above that bin."""
    above = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(above, wanted))
    return len(counts) - 1 - place, int(above[place - 1]) if place else 0


class Ties(Method):
    """``base + norm * elected mean of the trimmed task vectors``."""

    def __init__(self, *, density: float, norm: float, scope: Literal["model", "tensor"]) -> None:
        super().__init__()
        if not 0 < density <= 1:
            raise ValueError(f"density must be in (0, 1], got {density}; see conf/method/ties.yaml")
        self.density = density
        self.norm = norm
        self.scope = scope
        self.limits: dict[str, list[float]] = {}

    def prepare(self, models: Models) -> None:
        if self.density == 1:
            self.limits = {name: [0.0] * len(models.experts) for name in models.names}
        elif self.scope == "model":
            self.limits = dict.fromkeys(models.names, thresholds(models, models.names, self.density))
        else:
            self.limits = {name: thresholds(models, [name], self.density) for name in models.names}

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        deltas = rows[1:]
        kept = deltas * (deltas.abs() >= torch.tensor(self.limits[name])[:, None])
        return rows[0] + self.norm * elected_mean(kept)
