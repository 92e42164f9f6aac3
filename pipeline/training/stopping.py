"""Stop when the loss on validation rows no longer falls."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from pipeline.distributed import mean_of
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import Batches


class EarlyStop(Callback):
    """Every ``every_steps`` the mean loss of ``batches``, without dropout; the training ends when ``patience`` of these in a row are no
    better than the best. Stands before `Resumable`, so that a checkpoint holds what was seen at its step."""

    def __init__(self, batches: Batches, *, every_steps: int, patience: int) -> None:
        self.batches = batches
        self.every_steps = every_steps
        self.patience = patience
        self.best = float("inf")
        self.fruitless = 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "fruitless": self.fruitless}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.fruitless = state_dict["best"], state_dict["fruitless"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, ContrastiveModule)
        if trainer.global_step % self.every_steps:
            return
        loss = self.loss(pl_module)
        for logger in trainer.loggers:
            logger.log_metrics({"validation_loss": loss}, step=trainer.global_step - 1)
        self.best, self.fruitless = (loss, 0) if loss < self.best else (self.best, self.fruitless + 1)
        if self.fruitless >= self.patience:
            trainer.should_stop = True

    @torch.no_grad()
    def loss(self, module: ContrastiveModule) -> float:
        """The same on every process."""
        module.eval()
        losses = [
            mean_of(module.loss(module.transfer_batch_to_device(batch, module.device, 0))[None]) for batch in self.batches
        ]
        module.train()
        return float(torch.stack(losses).mean())
