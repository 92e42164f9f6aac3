"""The loss around what a search found: over the coefficients of two experts; of more, over the mixture and the norm.

The mixture goes from the direction of the start to that of what was found, and a little beyond both; the norm is the length of the
merged task vector, by that of the start. So points above each other differ in length alone. One held-out batch of each task at each
point, the mean over tasks.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import torch
from torch import Tensor

from pipeline.merging.method import of_tensor
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
            axis.set(**{side: text.replace("$", r"\$") for side, text in zip(("xlabel", "ylabel"), self.labels, strict=True)})
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
    unit = _length(trial, began)
    far = _length(trial, ended) / unit
    x, y = _around((0.0, 1.0), points), torch.linspace(0.0, 1.25 * max(1.0, far), points, dtype=torch.float64).tolist()

    def mixed(share: float, norm: float) -> dict[str, Tensor]:
        c = {name: (1 - share) * began[name] + share * ended[name] / far for name in ended}
        return {name: norm * unit / _length(trial, c) * value for name, value in c.items()}

    labels = ("mixture (0: start, 1: found)", "norm (1: start)")
    return Landscape(labels, x, y, [[_loss(trial, mixed(a, b)) for a in x] for b in y], (0.0, 1.0), (1.0, far))


def _length(trial: Trial, c: Mapping[str, Tensor]) -> float:
    """Of the merged task vector, over all tensors."""
    parts = [torch.as_tensor(of_tensor(c, name)).to(rows) @ rows[1:] for name, rows in trial.rows.items()]
    return max(math.sqrt(sum(float(part.double().square().sum()) for part in parts)), 1e-30)


def _around(values: Sequence[float], points: int) -> list[float]:
    low, high = min(values), max(values)
    return torch.linspace(low - 0.25 * (high - low), high + 0.25 * (high - low), points, dtype=torch.float64).tolist()


def _loss(trial: Trial, c: Mapping[str, Tensor]) -> float:
    losses = trial.losses(c, half="held_out", per_task=1)
    return sum(losses.values()) / len(losses)
