"""What several processes that train one model tell each other. With one process each function costs nothing.

Scale: gathering sums gradients over the processes, and the strategy (DDP, ZeRO, FSDP) averages them. So where every process
returns its part of a mean over the global batch times the number of processes, the average of all is that mean, and so are the
gradients; no further factor is needed anywhere.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from pipeline.launched import first_process as first_process


def encoding_devices(runtime: Mapping[str, Any]) -> list[torch.device]:
    """The GPUs among which this process may share encoding, as many as ``runtime.devices``; none on a CPU, whose cores torch shares."""
    if runtime["accelerator"] == "cpu" or not torch.cuda.is_available():
        return []
    return [torch.device("cuda", i) for i in range(min(runtime["devices"], torch.cuda.device_count()))]


def disband() -> None:
    """After a job of several, so that the next starts its own processes. Those of this job end with it."""
    if not _together():
        return
    dist.destroy_process_group()
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def together() -> None:
    """Wait for all processes."""
    if _together():
        dist.barrier()


def num_processes() -> int:
    return dist.get_world_size() if _together() else 1


def process() -> int:
    """Which of `num_processes` this is, from 0."""
    return dist.get_rank() if _together() else 0


def own_slice(total: int) -> slice:
    """The rows of ``total`` that this process answers for; all processes together answer for each once."""
    size, rank = num_processes(), process()
    return slice(total * rank // size, total * (rank + 1) // size)


def mean_of(value: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
    """The mean over processes, without gradients."""
    value = value.detach().clone()
    if _together():
        dist.all_reduce(value)
        value /= num_processes()
    return value


def agreed(number: int, device: torch.device) -> bool:
    """Whether all processes gave the same number (below 2 ** 62)."""
    if not _together():
        return True
    both = torch.tensor([number, -number], dtype=torch.int64, device=device)
    dist.all_reduce(both, op=dist.ReduceOp.MAX)
    return bool(both[0] == -both[1])


def gathered(rows: Float[Tensor, "n D"], counts: list[int]) -> Float[Tensor, "N D"]:
    """The rows of all processes, one process behind the other; ``counts[r]`` of process ``r``, known to all.

    Differentiable: the gradient of a row is the sum over all processes.
    """
    assert len(rows) == counts[process()]
    if not _together():
        return rows
    longest = max(counts)
    padded = torch.cat([rows, rows.new_zeros(longest - len(rows), rows.shape[1])])
    every: Any = _Gather.apply(padded)
    return torch.cat([every[r * longest : r * longest + count] for r, count in enumerate(counts)])


class _Gather(torch.autograd.Function):
    """Rows of every process, the same number on each."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        every = rows.new_empty(num_processes() * len(rows), rows.shape[1])
        dist.all_gather_into_tensor(every, rows.contiguous())
        return every

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        grad = grad.contiguous()
        own = grad.new_empty(len(grad) // num_processes(), grad.shape[1])
        if dist.get_backend() == "gloo":  # which cannot reduce and scatter in one
            grad = grad.clone()
            dist.all_reduce(grad)
            return grad[process() * len(own) : (process() + 1) * len(own)]
        dist.reduce_scatter_tensor(own, grad)
        return own


def _together() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
