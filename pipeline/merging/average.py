"""Averaging along one trajectory: the last checkpoints of a training, in the order they were written.

Source: Izmailov et al. 2018, arXiv:1803.05407 (equal shares); Polyak and Juditsky 1992, doi:10.1137/0330046 (decaying ones).
"""

from collections.abc import Sequence

from pipeline.delta import Models
from pipeline.merging.method import Linear


class Average(Linear):
    """The last ``last`` of the checkpoints; the share of each older one is ``decay`` times the next one's (1: equal shares)."""

    symmetric = False

    def __init__(self, *, last: int, decay: float) -> None:
        super().__init__()
        if last < 1 or not 0 < decay <= 1:
            raise ValueError(f"expected last >= 1 and decay in (0, 1], got {last}, {decay}; see conf/method/average.yaml")
        self.last = last
        self.decay = decay

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        num = len(models.experts)
        raw = [self.decay ** (num - 1 - k) if k >= num - self.last else 0.0 for k in range(num)]
        return {"all": [value / sum(raw) for value in raw]}
