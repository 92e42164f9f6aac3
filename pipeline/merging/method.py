"""What a merge method is: a statistics pass where it needs one, then a rule for a part of a tensor at a time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.delta import Models, Rows


class Method(nn.Module):
    """``merge`` sees parts of a flattened tensor, or whole tensors where ``whole`` is set."""

    whole = False
    needs_probe = False  # its coefficients are searched on training pairs before `prepare`
    symmetric = True  # the order of the experts changes nothing

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
        values = self.by_tensor["all"] if "all" in self.by_tensor else self.by_tensor[name]
        return torch.tensor([1.0, *values]) @ rows

    def record(self) -> dict[str, list[float]]:
        return self.by_tensor


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
