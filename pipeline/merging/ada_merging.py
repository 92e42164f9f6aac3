"""AdaMerging: a coefficient for each expert and layer, by gradient descent.

The source minimises the entropy of class predictions on test inputs. An embedding has none, so the loss here is the contrastive
one of pairs set aside before training: our design. The search is pipeline/probing/search.py; without it, and at its start, the soup.

Source: Yang et al. 2024, arXiv:2310.02575.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.delta import Grams, layer_of
from pipeline.merging.method import Searched


class AdaMerging(Searched):
    """``base + sum_k c_kl delta_kl`` in layer ``l``; ``scope``: what counts as one."""

    def __init__(self, *, scope: Literal["layer", "tensor", "model"]) -> None:
        super().__init__()
        self.scope = scope
        self.groups: list[str] = []
        self.raw = nn.Parameter(torch.empty(0, 0))  # by group and expert

    def group_of(self, name: str) -> str:
        return {"layer": layer_of(name), "tensor": name, "model": "all"}[self.scope]

    def start(self, num: int, names: Sequence[str]) -> None:
        self.groups = sorted({self.group_of(name) for name in names})
        self.raw = nn.Parameter(torch.full((len(self.groups), num), 1 / num))

    def started(self, num: int, names: Sequence[str]) -> bool:
        return {self.group_of(name) for name in names} == set(self.groups) and self.raw.shape[1] == num

    def effective(self, grams: Grams) -> dict[str, Float[Tensor, " K"]]:
        by_group = dict(zip(self.groups, self.raw.double(), strict=True))
        return by_group if self.scope == "model" else {name: by_group[self.group_of(name)] for name in grams}

    def numbers(self) -> dict[str, float]:
        return {f"{group}/{k}": c for group, row in zip(self.groups, self.raw.tolist(), strict=True) for k, c in enumerate(row)}
