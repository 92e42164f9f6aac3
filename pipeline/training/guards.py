"""What watches a training: numbers that are none, the norm of the gradient, the shape of the space."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.distributed import mean_of, num_processes
from pipeline.training.data import Part

_SAMPLE = 256  # rows of a batch whose geometry is looked at


def geometry(part: Part, vectors: Float[Tensor, "T D"]) -> dict[str, float]:
    """``alignment``: mean squared distance of a query and its document. ``uniformity``: log of the mean of exp(-2 d^2) over pairs of
    queries, lower is more even. Of the first rows of a batch.

    Source: Wang and Isola 2020, arXiv:2005.10242, eqs. 1 and 2.
    """
    size = min(len(part.positive), _SAMPLE)
    query = vectors[part.first_query : part.first_query + size].float()
    document = vectors[part.first_document + part.positive[:size, 0]].float()
    alignment = (query - document).square().sum(-1).mean()
    uniformity = torch.pdist(query).square().mul(-2).exp().mean().log() if size > 1 else torch.tensor(0.0)
    return {"alignment": alignment.item(), "uniformity": uniformity.item()}


class Attempt:
    """``closure``, forwards and backwards, called as it is; ``ended`` says that it came to its end: what fails then is the step itself."""

    def __init__(self, closure: Callable[[], Any]) -> None:
        self.closure = closure
        self.ended = False

    def __call__(self) -> Any:
        found = self.closure()
        self.ended = True
        return found


def out_of_memory(error: Exception) -> bool:
    """Torch has a class of its own for a GPU's memory alone."""
    told = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(one in str(error) for one in told)


class Guarded(Protocol):
    """A training whose gradients are looked at."""

    @property
    def on_nonfinite(self) -> str: ...

    @property
    def global_step(self) -> int: ...

    @property
    def device(self) -> torch.device: ...


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def whole_norm(grads: list[Tensor], device: torch.device, *, sharded: bool) -> float:
    """The norm of the whole gradient, the same on every process. ``sharded``: each holds a part of it; otherwise each holds all."""
    own = torch.nn.utils.get_total_norm(grads).float().to(device) if grads else torch.zeros((), device=device)
    if not sharded:
        return mean_of(own[None]).item()  # no number anywhere is none everywhere
    return math.sqrt(mean_of(own.double().square()[None]).item() * num_processes())


def clipped(optimizer: torch.optim.Optimizer, norm: float | None, highest: float | None) -> None:
    """Shorten the gradient, whose norm is ``norm``, to ``highest``, as `torch.nn.utils.clip_grad_norm_` does."""
    if norm is not None and highest is not None:
        for grad in gradients(optimizer):
            grad.mul_(min(1.0, highest / (norm + 1e-6)))


def finite_step(module: Guarded, optimizer: torch.optim.Optimizer, *, sharded: bool) -> float | None:
    """The norm of the whole gradient before clipping; None where DeepSpeed holds it, which checks it itself.

    Where it is no number, the training stops, or, by policies ``skip`` and ``back``, this step changes nothing: on all processes alike.
    """
    grads = gradients(optimizer)
    if not grads and not sharded:  # of one that shards, some process may hold nothing
        return None
    norm = whole_norm(grads, module.device, sharded=sharded)
    if math.isfinite(norm):
        return norm
    if module.on_nonfinite == "stop":
        raise ValueError(
            f"the gradient is not finite at step {module.global_step}; lower optimizer.lr, use precision 32-true, or set on_nonfinite: skip"
        )
    optimizer.zero_grad(set_to_none=True)  # parameters without a gradient are left alone, momentum and decay too
    return norm
