"""Shuffled group whitening: any objective on vectors whose dimensions are made to vary alike and apart from each other.

The dimensions are shuffled, cut into groups of ``width``, and each group is whitened over the batch: centred, times the inverse root of
its covariance. Then the order is restored, and vectors have unit length again. Queries have a draw of their own, documents one for each
of ``draws``, and the loss is the mean over these. In training alone: the encoder's vectors stay as they are.
Price: a group must be narrower than the batch; what is whitened depends on the batch.

Source: Zhuo et al. 2023 (WhitenedCSE), arXiv:2305.17746, section 3.2. Ours: the third view is the document under another draw, not a third
pass of the encoder; whitening is of unit vectors; statistics are those of the batch of all processes.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.objective.cosine import precise
from pipeline.objective.objective import Around, Objective
from pipeline.tensors import EmbeddedPairs

EPSILON = 1e-5  # added to the covariance of vectors whose numbers have a variance of about 1


class InverseRoot(torch.autograd.Function):
    """``C^(-1/2)`` of symmetric positive matrices. Equal eigenvalues, at which the gradient of `torch.linalg.eigh` is no number, do no
    harm: of ``f(x) = x^(-1/2)`` the divided difference is ``-1 / (sqrt(x) sqrt(y) (sqrt(x) + sqrt(y)))``."""

    @staticmethod
    def forward(ctx: Any, covariance: Float[Tensor, "G w w"]) -> Float[Tensor, "G w w"]:
        value, vector = torch.linalg.eigh(covariance)
        root = value.clamp(min=EPSILON / 2).sqrt()
        ctx.save_for_backward(root, vector)
        return (vector / root[:, None]) @ vector.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        root, vector = ctx.saved_tensors
        left, right = root[:, :, None], root[:, None]
        inner = vector.mT @ ((grads[0] + grads[0].mT) / 2) @ vector
        return vector @ (-inner / (left * right * (left + right))) @ vector.mT


def whitened(vectors: Float[Tensor, "B D"], order: Sequence[int], width: int) -> Float[Tensor, "B D"]:
    """Each group of ``width`` dimensions, as ``order`` puts them side by side, with mean 0 and the identity as covariance.

    ValueError where the batch is too small, or the groups do not fill the dimensions."""
    num, dims = vectors.shape
    if num <= width:
        raise ValueError(
            f"a group of {width} dimensions is whitened over more vectors than that, got {num}; raise batch_size, or lower width "
            f"(conf/objective/whitened.yaml)"
        )
    if dims % width:
        raise ValueError(
            f"groups of {width} dimensions do not fill {dims}; set width to a divisor (conf/objective/whitened.yaml)"
        )
    place = torch.as_tensor(order, device=vectors.device)
    with torch.autocast(vectors.device.type, enabled=False):
        groups = precise(vectors)[:, place].unflatten(1, (-1, width)).transpose(0, 1) * dims**0.5  # G B w
        centred = groups - groups.mean(1, keepdim=True)
        identity = torch.eye(width, dtype=centred.dtype, device=centred.device)
        covariance = centred.mT @ centred / num + EPSILON * identity
        root: Any = InverseRoot.apply(covariance)
        return (centred @ root).transpose(0, 1).flatten(1)[:, torch.argsort(place)]


class Whitened(Around):
    """``whiten`` false: shuffled and back, which is the objective itself, the control."""

    def __init__(self, *, objective: Objective, width: int, draws: int, whiten: bool) -> None:
        super().__init__()
        where = "see conf/objective/whitened.yaml"
        if width < 1 or draws < 1:
            raise ValueError(f"width and draws must be 1 or more, got {width} and {draws}; {where}")
        if objective.needs_layers or objective.needs_slow:
            raise ValueError(
                f"{type(objective).__name__} looks at vectors that are not whitened; take another objective inside, {where}"
            )
        self.objective = objective
        self.width = width
        self.draws = draws
        self.whiten = whiten
        for need in ("needs_score", "needs_negatives", "needs_teacher", "saves"):
            setattr(self, need, getattr(objective, need))

    def check_encoder(self, *, width: int, blocks: int) -> None:
        super().check_encoder(width=width, blocks=blocks)
        if width % self.width:
            raise ValueError(
                f"groups of {self.width} dimensions do not fill {width}; set width to a divisor (conf/objective/whitened.yaml)"
            )

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        query = self._made(pairs.query, pairs, 0)
        views = [
            replace(pairs, query=query, document=self._made(pairs.document, pairs, 1 + draw)) for draw in range(self.draws)
        ]
        return torch.stack([self.objective(view) for view in views]).mean()

    def _made(self, vectors: Float[Tensor, "B D"], pairs: EmbeddedPairs, draw: int) -> Float[Tensor, "B D"]:
        """By ``progress``, so the same on every process and in a resumed training."""
        if not self.whiten:
            return vectors
        dims = vectors.shape[1]
        order = random.Random(f"whitened {draw} {pairs.progress!r}").sample(range(dims), dims)
        return F.normalize(whitened(vectors, order, self.width), dim=-1)
