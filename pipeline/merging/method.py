"""What a merge method is: a statistics pass where it needs one, then a rule for a part of a tensor at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.delta import Grams, Models, Rows

Coefficients: TypeAlias = Mapping[str, Any]  # K numbers under "all", or for each tensor


def of_tensor(c: Coefficients, name: str) -> Any:
    return c["all"] if "all" in c else c[name]


class Probe(Protocol):
    """Pairs set aside before training, that merges are tried on, by pipeline/probing; one loss of training for each task."""

    num: int  # of experts

    def losses(self, c: Coefficients, *, half: str) -> dict[str, float]:
        """Mean loss of each task at ``base + sum c_k delta_k``; half: search | held_out."""
        ...

    def squared_gradients(self, expert: int) -> dict[str, Float[Tensor, " n"]]:
        """By tensor, flattened: the square of the gradient of a batch, averaged over the batches of the expert's own tasks."""
        ...

    def input_grams(self, expert: int) -> dict[str, Float[Tensor, "d d"]]:
        """By the weight of each linear layer: mean outer product of its inputs in the expert, on its own tasks."""
        ...


class Method(nn.Module):
    """``merge`` sees parts of a flattened tensor, or whole tensors where ``whole`` is set."""

    whole = False
    needs_probe = False  # it looks at pairs set aside before `prepare`; without, it merges as its own docstring says
    symmetric = True  # the order of the experts changes nothing

    def group(self, trajectories: Sequence[int]) -> None:
        """So many of the experts, in their order, are checkpoints of the first training, of the second, ...: most methods need not know."""

    def look(self, probe: Probe) -> None:
        """Whatever takes a look at pairs set aside first."""

    def seen(self) -> dict[str, Any]:
        """What that look gave, for the record."""
        return {}

    def prepare(self, models: Models) -> None:
        """Whatever takes a look at all weights first."""

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        """The merged elements from ``start`` on. ``rows`` may be overwritten."""
        raise NotImplementedError

    def record(self) -> dict[str, list[float]]:
        """Effective coefficients, by tensor, or under "all" for every tensor; nothing where each element has its own."""
        return {}


class Linear(Method):
    """``base + sum_k c_k delta_k``, with coefficients of the whole model or of each tensor, found in ``coefficients``."""

    def __init__(self) -> None:
        super().__init__()
        self.by_tensor: dict[str, list[float]] = {}

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        """Under "all", or by tensor."""
        raise NotImplementedError

    def prepare(self, models: Models) -> None:
        self.by_tensor = {name: [float(c) for c in values] for name, values in self.coefficients(models).items()}

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        return torch.tensor([1.0, *of_tensor(self.by_tensor, name)]) @ rows

    def record(self) -> dict[str, list[float]]:
        return self.by_tensor


class Searched(Linear):
    """Its coefficients follow from parameters of its own, which pipeline/probing/search.py trains on a probe."""

    needs_probe = True

    def start(self, num: int, names: Sequence[str]) -> None:
        """The parameters as they are before the search, for so many experts and these tensors."""
        raise NotImplementedError

    def started(self, num: int, names: Sequence[str]) -> bool:
        """Whether the parameters are for these."""
        raise NotImplementedError

    def effective(self, grams: Grams) -> dict[str, Float[Tensor, " K"]]:
        """Coefficients, under "all" or by tensor; differentiable in the parameters."""
        raise NotImplementedError

    def cost(self) -> Tensor | float:
        """What is added to the loss."""
        return 0.0

    def numbers(self) -> dict[str, float]:
        """What is told at each step, beside the coefficients."""
        return {}

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        if not self.started(len(models.experts), models.names):
            self.start(len(models.experts), models.names)
        with torch.no_grad():
            return {name: c.tolist() for name, c in self.effective(models.grams()).items()}


def grouped(sizes: Sequence[int], num: int, where: str) -> list[slice]:
    """Which of ``num`` experts are of one training, by how many each has; of one training all, where ``sizes`` is empty."""
    sizes = list(sizes) or [num]
    if min(sizes) < 1 or sum(sizes) != num:
        raise ValueError(f"trajectories: expected numbers of experts with the sum {num}, got {sizes}; {where}")
    ends = [sum(sizes[: t + 1]) for t in range(len(sizes))]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def shares(weights: Sequence[float], num: int, where: str) -> list[float]:
    """``weights`` by their sum; equal ones where none are given. ValueError where their number or sum is wrong."""
    if not weights:
        return [1 / num] * num
    if len(weights) != num:
        raise ValueError(
            f"weights: expected {num}, one for each expert in the order of their names, got {len(weights)}; {where}"
        )
    if sum(weights) <= 0:
        raise ValueError(f"weights must have a positive sum, got {list(weights)}; {where}")
    return [w / sum(weights) for w in weights]
