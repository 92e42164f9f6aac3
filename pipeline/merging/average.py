"""Averaging along one trajectory: the last checkpoints of a training, in the order they were written.

Source: Izmailov et al. 2018, arXiv:1803.05407 (equal shares); Polyak and Juditsky 1992, doi:10.1137/0330046 (decaying ones).
"""

from collections.abc import Sequence

from pipeline.delta import Models
from pipeline.merging.method import Linear, grouped


class Average(Linear):
    """The last ``last`` checkpoints of each training; the share of an older one is ``decay`` times the next one's (1: equal shares).

    ``trajectories``: how many of the checkpoints, in their order, are of the first training, the second, ...; empty: all of one.
    Trainings count alike.
    """

    symmetric = False

    def __init__(self, *, last: int, decay: float, trajectories: Sequence[int]) -> None:
        super().__init__()
        if last < 1 or not 0 < decay <= 1:
            raise ValueError(f"expected last >= 1 and decay in (0, 1], got {last}, {decay}; see conf/merging/average.yaml")
        self.last = last
        self.decay = decay
        self.trajectories = list(trajectories)

    def group(self, trajectories: Sequence[int]) -> None:
        self.trajectories = self.trajectories or list(trajectories)

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        found: list[float] = []
        groups = grouped(self.trajectories, len(models.experts), "see conf/merging/average.yaml")
        for group in groups:
            age = range(group.stop - group.start - 1, -1, -1)
            raw = [self.decay**a if a < self.last else 0.0 for a in age]
            found += [value / sum(raw) / len(groups) for value in raw]
        return {"all": found}
