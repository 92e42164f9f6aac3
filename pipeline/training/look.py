"""Measurements on validation rows during a training: stop when they no longer get better, or keep the best weights."""

from collections.abc import Callable
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from pipeline.stopping import step_ended


class Look(Callback):
    """Measures the module every ``every_steps`` and logs the value as ``name``. ``measure`` must return the same on every process.

    ``patience``: the training ends when so many values in a row were no better than the best one; None: it runs to its end.
    ``keep``: it ends with the weights that had the best value; the last step is then measured too. Each process holds all weights.
    It stands before `Resumable`, so a checkpoint holds what was measured at its step. Lightning's `EarlyStopping` cannot: it validates
    after `on_train_batch_end`, where checkpoints are saved, so a training that goes on would never see that step's value.
    """

    def __init__(
        self,
        name: str,
        measure: Callable[[Any], float],
        *,
        better: Literal["lower", "higher"],
        every_steps: int,
        patience: int | None,
        keep: bool,
    ) -> None:
        self.name = name
        self.measure = measure
        self.sign = 1 if better == "higher" else -1
        self.every_steps = every_steps
        self.patience = patience
        self.keep = keep
        self.best = -float("inf")  # times the sign
        self.fruitless = 0
        self.weights: dict[str, Tensor] = {}

    @property
    def state_key(self) -> str:
        """A training may have two: one that ends it, one that keeps the best weights."""
        return f"Look {self.name}"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "fruitless": self.fruitless, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.fruitless, self.weights = (state_dict[key] for key in ("best", "fruitless", "weights"))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.patience is not None and self.fruitless >= self.patience:  # stopped when that was known, before the end
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        step = trainer.global_step
        if step % self.every_steps and not (self.keep and step == trainer.max_steps):
            return
        step_ended()
        value = self.measure(pl_module)
        pl_module.log(self.name, value, prog_bar=True, logger=False, batch_size=1)
        for logger in trainer.loggers:
            logger.log_metrics({self.name: value}, step=step - 1)
        better = self.sign * value > self.best
        self.best, self.fruitless = (self.sign * value, 0) if better else (self.best, self.fruitless + 1)
        if better and self.keep:
            self.weights = {n: w.detach().clone() for n, w in pl_module.named_parameters() if w.requires_grad}
        if self.patience is not None and self.fruitless >= self.patience:
            trainer.should_stop = True

    @torch.no_grad()
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name, weight in pl_module.named_parameters():
            if name in self.weights:
                weight.copy_(self.weights[name])
