"""Delta-guided fusion: who moved a parameter further from the base has the larger say in it.

The idea, merge weights for each parameter from every checkpoint's deviation from its initialisation, is CoDiEmb's
(arXiv:2508.11442). Its formula is not known to us: this one is our design, with its options to be chosen on validation.
``hierarchical`` multiplies the weight of a layer with that of the tensor inside the layer. ``trajectories`` makes it two-storied:
checkpoints of one training are fused first, then the fused ones, each time with weights from how far they moved.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.delta import Models, Rows, layer_of, total
from pipeline.merging.method import Linear, grouped


def weights(size: Float[Tensor, "K ..."], beta: float) -> Float[Tensor, "K ..."]:
    """``size^beta`` by their sum over the experts, which is 1.

    A size of 0 has no say, for any ``beta`` but 0: an expert that did not move has nothing to add, and below 0 the limit of its
    weight, 1, would leave the base there. Equal where all sizes are 0, and for ``beta`` 0, which is the soup. Sizes below a
    millionth of the largest count as that.
    """
    largest = size.amax(0, keepdim=True)
    relative = torch.where(largest > 0, size / largest.clamp(min=1e-30), torch.ones_like(size))
    power = relative.clamp(min=1e-6) ** beta
    if beta:
        power = torch.where(relative > 0, power, torch.zeros_like(power))
    return power / power.sum(0, keepdim=True)


class DeltaGuided(Linear):
    """``base + sum w_k delta_k``, with ``w_k`` from the root mean square of ``delta_k`` over model, layer, tensor, row or element.

    ``trajectories``: how many of the experts, in their order, belong to the first, the second, ...; empty: all to one.
    """

    def __init__(
        self,
        *,
        granularity: Literal["model", "layer", "tensor", "row", "element"],
        beta: float,
        hierarchical: bool,
        trajectories: Sequence[int],
    ) -> None:
        super().__init__()
        if hierarchical and granularity != "tensor":
            raise ValueError(
                f"hierarchical is the weight of the layer times that of the tensor: granularity must be tensor, "
                f"got {granularity}; see conf/merging/delta_guided.yaml"
            )
        self.granularity = granularity
        self.beta = beta
        self.hierarchical = hierarchical
        self.trajectories = list(trajectories)
        self.symmetric = not self.trajectories
        self.whole = granularity == "row"
        self.shapes: dict[str, tuple[int, ...]] = {}

    def group(self, trajectories: Sequence[int]) -> None:
        self.trajectories = self.trajectories or list(trajectories)

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        grams = models.grams()
        if self.granularity == "model":
            return {"all": self._shares(total(grams)).tolist()}
        layers = {layer_of(name): {n: g for n, g in grams.items() if layer_of(n) == layer_of(name)} for name in grams}
        by_layer = {layer: self._shares(total(inside)) for layer, inside in layers.items()}
        if self.granularity == "layer":
            return {name: by_layer[layer_of(name)].tolist() for name in grams}
        found = {name: self._shares(gram) for name, gram in grams.items()}
        if self.hierarchical:
            both = {name: share * by_layer[layer_of(name)] for name, share in found.items()}
            found = {name: share / share.sum() for name, share in both.items()}
        return {name: share.tolist() for name, share in found.items()}

    def prepare(self, models: Models) -> None:
        self.shapes = {name: models.shape(name) for name in models.names}
        self._groups(len(models.experts))
        if self.granularity not in ("row", "element"):
            super().prepare(models)

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        if self.granularity not in ("row", "element"):
            return super().merge(name, start, rows)
        shape = self.shapes[name] if self.granularity == "row" else (rows.shape[1], 1)
        deltas = rows[1:].view(len(rows) - 1, shape[0] if len(shape) > 1 else 1, -1)
        fused = [self._fused(deltas[group]) for group in self._groups(len(deltas))]
        found = self._fused(torch.stack(fused)) if len(fused) > 1 else fused[0]
        return rows[0] + found.flatten()

    def _fused(self, deltas: Float[Tensor, "K R n"]) -> Float[Tensor, "R n"]:
        """Row by row."""
        share = weights(torch.linalg.vector_norm(deltas, dim=2), self.beta)
        out = deltas[0] * share[0][:, None]
        for k in range(1, len(deltas)):
            out.addcmul_(deltas[k], share[k][:, None])
        return out

    def _shares(self, gram: Float[Tensor, "K+1 K+1"]) -> Float[Tensor, " K"]:
        inner = gram[1:, 1:]
        groups = self._groups(len(inner))
        within = torch.zeros(len(groups), len(inner), dtype=torch.float64)
        for t, group in enumerate(groups):
            within[t, group] = weights(inner.diagonal()[group].clamp(min=0).sqrt(), self.beta)
        moved = (within @ inner @ within.T).diagonal().clamp(min=0).sqrt()
        return weights(moved, self.beta) @ within

    def _groups(self, num: int) -> list[slice]:
        return grouped(self.trajectories, num, "see conf/merging/delta_guided.yaml")
