"""Fisher merging: each element is the mean of the experts', weighted by their diagonal Fisher information.

The Fisher information of an expert is estimated by the square of the gradient of its contrastive loss, averaged over batches (not
over single queries, whose losses do not exist without a batch) of its own tasks. Without a probe: equal weights, the soup.
Memory: one more fp32 copy of each expert.

Source: Matena and Raffel 2022, arXiv:2111.09832, eq. 3.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.delta import Rows
from pipeline.merging.method import Method, Probe


class Fisher(Method):
    """``base + sum F_k delta_k / sum F_k``."""

    needs_probe = True

    def __init__(self, *, smoothing: float, normalise: bool) -> None:
        super().__init__()
        if smoothing < 0:
            raise ValueError(f"smoothing must not be negative, got {smoothing}; see conf/merging/fisher.yaml")
        self.smoothing = smoothing
        self.normalise = normalise
        self.information: dict[str, Float[Tensor, "K n"]] = {}
        self.means: list[float] = []

    def look(self, probe: Probe) -> None:
        by_expert = [{name: f.cpu() for name, f in probe.squared_gradients(k).items()} for k in range(probe.num)]
        numel = sum(f.numel() for f in by_expert[0].values())
        self.means = [sum(float(f.sum(dtype=torch.float64)) for f in found.values()) / numel for found in by_expert]
        common = sum(self.means) / len(self.means)
        for name in list(by_expert[0]):
            scales = self.means if self.normalise else [common] * probe.num
            rows = [found[name] / max(scale, 1e-30) + self.smoothing for found, scale in zip(by_expert, scales, strict=True)]
            self.information[name] = torch.stack(rows)
            for found in by_expert:
                del found[name]

    def seen(self) -> dict[str, Any]:
        return {"mean_information": self.means}

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        deltas = rows[1:]
        if name not in self.information:
            return rows[0] + deltas.mean(0)
        f = self.information[name][:, start : start + deltas.shape[1]]
        total = f.sum(0)
        weighted = (f * deltas).sum(0) / total.clamp(min=1e-30)
        return rows[0] + torch.where(total > 0, weighted, deltas.mean(0))
