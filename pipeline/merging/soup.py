"""Uniform soup: the mean of the experts.

Source: Wortsman et al. 2022, arXiv:2203.05482.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from pipeline.delta import State, combined


class Soup(nn.Module):
    """``base + mean of the task vectors``, which is the mean of the experts."""

    def coefficients(self, deltas: Sequence[State]) -> list[float]:
        return [1 / len(deltas)] * len(deltas)

    def forward(self, base: State, deltas: Sequence[State]) -> dict[str, Tensor]:
        return combined(base, deltas, self.coefficients(deltas))
