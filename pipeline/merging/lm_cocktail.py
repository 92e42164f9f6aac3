"""LM-Cocktail: the soup with weights by how little each expert loses on a few pairs that it was not trained on.

``w = softmax(-loss / temperature)``, the loss being the mean over all tasks, each by its own objective. Without a probe: equal weights.

Source: Xiao et al. 2023, arXiv:2311.13534, section 3.
"""

from collections.abc import Sequence
from typing import Any

import torch

from pipeline.delta import Models
from pipeline.merging.method import Linear, Probe


class LmCocktail(Linear):
    """``base + sum w_k delta_k``."""

    needs_probe = True

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}; see conf/merging/lm_cocktail.yaml")
        self.temperature = temperature
        self.losses: list[dict[str, float]] = []  # of each expert, by task

    def look(self, probe: Probe) -> None:
        one = torch.eye(probe.num, dtype=torch.float64)
        self.losses = [probe.losses({"all": one[k].tolist()}, half="search") for k in range(probe.num)]

    def seen(self) -> dict[str, Any]:
        return {"losses": self.losses}

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        means = [sum(found.values()) / len(found) for found in self.losses] or [0.0] * len(models.experts)
        return {"all": torch.softmax(-torch.tensor(means, dtype=torch.float64) / self.temperature, 0).tolist()}
