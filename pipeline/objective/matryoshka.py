"""Matryoshka: any objective on the first dimensions of the vectors as well, so that a short vector serves too.

Price: one more evaluation of the objective for each width; the encoder runs once.

Source: Kusupati et al. 2022, arXiv:2205.13147, eq. 1; widths drawn anew each step: Li et al. 2024 (2DMSE), arXiv:2402.14776.
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.objective.cosine import precise
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def truncated(pairs: EmbeddedPairs, width: int) -> EmbeddedPairs:
    """The first ``width`` dimensions of every vector, of unit length again."""

    def cut(vectors: Tensor) -> Tensor:
        return F.normalize(precise(vectors[:, :width]), dim=-1)

    layers = tuple((cut(query), cut(document)) for query, document in pairs.layers)
    return replace(pairs, query=cut(pairs.query), document=cut(pairs.document), layers=layers)


def drawn(num: int, at_once: int | None, pairs: EmbeddedPairs, what: str) -> list[int]:
    """``at_once`` of ``num`` places (all, if None), the same on every process and in a resumed training: by progress alone."""
    chosen = range(num) if at_once is None else random.Random(f"{what} {pairs.progress!r}").sample(range(num), at_once)
    return sorted(chosen)


class Matryoshka(Objective):
    """The sum over ``dims`` of coefficient times objective. A dim up to 1 is a share of the encoder's width, above it a number.

    ``dims_at_once``: how many are drawn for a step; None: all. Each dim has a copy of the objective with a state of its own.
    """

    def __init__(
        self, *, objective: Objective, dims: Sequence[float], coefficients: Sequence[float] | None, dims_at_once: int | None
    ) -> None:
        super().__init__()
        where = "see conf/objective/matryoshka.yaml"
        if not dims or min(dims) <= 0 or len(set(dims)) < len(dims):
            raise ValueError(f"dims must be different positive numbers, got {list(dims)}; {where}")
        if any(dim > 1 and dim != int(dim) for dim in dims):
            raise ValueError(f"a dim above 1 is a number of dimensions and must be whole, got {list(dims)}; {where}")
        if coefficients is not None and (len(coefficients) != len(dims) or min(coefficients) <= 0):
            raise ValueError(
                f"expected one positive coefficient for each of {len(dims)} dims, got {list(coefficients)}; {where}"
            )
        if dims_at_once is not None and not 1 <= dims_at_once <= len(dims):
            raise ValueError(f"dims_at_once must be 1 to {len(dims)}, the number of dims, got {dims_at_once}; {where}")
        if objective.needs_slow:
            raise ValueError(
                f"{type(objective).__name__} remembers whole vectors; put matryoshka inside of it, see conf/objective/queue.yaml"
            )
        self.dims = tuple(dims)
        self.coefficients = tuple(coefficients or [1.0] * len(dims))
        self.dims_at_once = dims_at_once
        self.objectives = nn.ModuleList(copy.deepcopy(objective) for _ in dims)
        for need in ("needs_score", "needs_negatives", "needs_teacher", "needs_layers"):
            setattr(self, need, getattr(objective, need))

    def check_scores(self, scores: Sequence[float]) -> None:
        self.objectives[0].check_scores(scores)  # pyright: ignore[reportCallIssue]

    def check_encoder(self, *, width: int, blocks: int) -> None:
        for objective, own in zip(self.objectives, self.widths(width), strict=True):
            objective.check_encoder(width=own, blocks=blocks)  # pyright: ignore[reportCallIssue]

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        widths = self.widths(pairs.query.shape[1])
        losses = [
            self.coefficients[i] * self.objectives[i](truncated(pairs, widths[i]))
            for i in drawn(len(widths), self.dims_at_once, pairs, "dims")
        ]
        return torch.stack(losses).sum()

    def widths(self, width: int) -> list[int]:
        """Numbers of dimensions; ValueError where the encoder has fewer, or two are the same."""
        widths = [max(1, round(dim * width)) if dim <= 1 else int(dim) for dim in self.dims]
        if max(widths) > width or len(set(widths)) < len(widths):
            raise ValueError(f"dims {list(self.dims)} are {widths} of an encoder of width {width}; give fewer or smaller ones")
        return widths
