"""The loss around what a search found: over the coefficients of two experts; of more, over the mixture and the norm.

One held-out batch of each task at each point, the mean over tasks.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import torch
from torch import Tensor

from pipeline.probing.trial import Trial


@dataclass(frozen=True, slots=True)
class Landscape:
    """``loss[i][j]`` at ``x[j]``, ``y[i]``; where the search began and ended, in the same units."""

    labels: tuple[str, str]
    x: list[float]
    y: list[float]
    loss: list[list[float]]
    began: tuple[float, float]
    ended: tuple[float, float]

    def table(self) -> str:
        lines = [
            f"{x:.4f},{y:.4f},{value:.6f}"
            for y, row in zip(self.y, self.loss, strict=True)
            for x, value in zip(self.x, row, strict=True)
        ]
        return "\n".join([f"{self.labels[0]},{self.labels[1]},loss", *lines]) + "\n"

    def draw(self, file: Path) -> None:
        """As PNG; equal numbers give equal bytes."""
        mpl.use("agg")
        from matplotlib import pyplot as plt

        with mpl.rc_context({"font.size": 9}):
            figure, axis = plt.subplots(figsize=(4.4, 3.4), layout="constrained")
            drawn = axis.contourf(self.x, self.y, self.loss, levels=16, cmap="viridis")
            figure.colorbar(drawn, label="loss of held-out pairs")
            axis.plot(*zip(self.began, self.ended, strict=True), "w-", linewidth=1)
            axis.plot(*self.began, "wo", markersize=5, label="start")
            axis.plot(*self.ended, "w*", markersize=10, label="found")
            axis.set(xlabel=self.labels[0], ylabel=self.labels[1])
            axis.legend(facecolor="0.5", fontsize=8)
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
            plt.close(figure)
        file.write_bytes(out.getvalue())


def survey(trial: Trial, began: Mapping[str, Tensor], ended: Mapping[str, Tensor], points: int) -> Landscape | None:
    """``points`` on each side; None where that is 0, or where there is one expert and so no plane."""
    if not points or trial.num < 2:
        return None
    if trial.num == 2 and "all" in ended:
        first, last = (tuple(c["all"].tolist()) for c in (began, ended))
        x, y = (_around((0.0, 1.0, first[k], last[k]), points) for k in (0, 1))
        at = lambda x, y: {"all": torch.tensor([x, y], dtype=ended["all"].dtype)}  # noqa: E731
        labels = ("coefficient of expert 0", "coefficient of expert 1")
        return Landscape(labels, x, y, [[_loss(trial, at(a, b)) for a in x] for b in y], first, last)
    x, y = _around((0.0, 1.0), points), _around((0.0, 1.0), points)
    at = lambda x, y: {n: y * ((1 - x) * began[n] + x * ended[n]) for n in ended}  # noqa: E731
    labels = ("mixture (0: start, 1: found)", "factor of the norm")
    return Landscape(labels, x, y, [[_loss(trial, at(a, b)) for a in x] for b in y], (0.0, 1.0), (1.0, 1.0))


def _around(values: Sequence[float], points: int) -> list[float]:
    low, high = min(values), max(values)
    return torch.linspace(low - 0.25 * (high - low), high + 0.25 * (high - low), points, dtype=torch.float64).tolist()


def _loss(trial: Trial, c: Mapping[str, Tensor]) -> float:
    losses = trial.losses(c, half="held_out", per_task=1)
    return sum(losses.values()) / len(losses)
