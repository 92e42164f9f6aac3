"""Greedy soup: the mean of those experts that help.

From the expert with the least loss on, in that order, each is added if the mean with it loses no more. The loss is the mean over
tasks on the search half of the probe: rows set aside before training, as the source's held-out set is. Without a probe: the soup of all.

Source: Wortsman et al. 2022, arXiv:2203.05482, recipe 1.
"""

from collections.abc import Sequence
from typing import Any

from pipeline.delta import Models
from pipeline.merging.method import Linear, Probe


class GreedySoup(Linear):
    """``base + mean of the chosen delta_k``; ``slack``: by how much an addition may raise the loss."""

    needs_probe = True

    def __init__(self, *, slack: float) -> None:
        super().__init__()
        self.slack = slack
        self.chosen: list[int] = []
        self.tried: list[dict[str, Any]] = []

    def look(self, probe: Probe) -> None:
        alone = [self._try(probe, [k]) for k in range(probe.num)]
        first, *others = sorted(range(probe.num), key=lambda k: (alone[k], k))
        self.chosen, least = [first], alone[first]
        for k in others:
            loss = self._try(probe, sorted([*self.chosen, k]))
            if loss <= least + self.slack:
                self.chosen, least = sorted([*self.chosen, k]), min(least, loss)

    def seen(self) -> dict[str, Any]:
        return {"tried": self.tried}

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        chosen = self.chosen or list(range(len(models.experts)))
        return {"all": _mean(chosen, len(models.experts))}

    def _try(self, probe: Probe, chosen: list[int]) -> float:
        losses = probe.losses({"all": _mean(chosen, probe.num)}, half="search")
        self.tried.append({"experts": chosen, "losses": losses})
        return sum(losses.values()) / len(losses)


def _mean(chosen: list[int], num: int) -> list[float]:
    return [1 / len(chosen) if k in chosen else 0.0 for k in range(num)]
