"""The one module that all trainings share: encode both sides, ask the task's objective, step."""

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from pipeline.encoder.encoder import Encoder
from pipeline.tensors import EmbeddedPairs
from pipeline.training.data import TextBatch
from pipeline.training.optimizer import warmed_up


class ContrastiveModule(pl.LightningModule):
    """``objectives`` by task; ``optimizer`` makes one from the parameters.

    Dropout is drawn from (seed, step), so that a resumed training draws what an unbroken one would.
    """

    def __init__(
        self, encoder: Encoder, objectives: Mapping[str, nn.Module], optimizer: Callable[..., torch.optim.Optimizer], *,
        steps: int, warmup_steps: int, seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder = encoder.train()  # loaded weights come in evaluation mode, and the trainer would leave them there
        self.objectives = nn.ModuleDict(objectives)
        self.make_optimizer = optimizer
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.seed = seed

    def on_train_batch_start(self, batch: TextBatch, batch_idx: int) -> None:
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        query = self.encoder(batch.query_ids, batch.query_mask)
        document = self.encoder(batch.document_ids, batch.document_mask)
        everyone = slice(0, len(query))
        pairs = EmbeddedPairs(
            query, document, batch.positive, batch.negative, batch.query_text, batch.document_text, everyone, batch.score
        )
        loss = self.objectives[batch.task](pairs)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss of task {batch.task} is {loss.item()} at step {self.global_step}; lower optimizer.lr, or use precision 32-true"
            )
        losses = {f"loss/{batch.task}": loss, "loss": loss}
        self.log_dict(losses, logger=False, batch_size=len(batch.positive))
        for logger in self.loggers:  # by hand: Lightning would repeat a task's last loss at every step of the other tasks
            logger.log_metrics({name: value.item() for name, value in losses.items()}, step=self.global_step)
        self.log("step_loss", loss, prog_bar=True, logger=False, batch_size=len(batch.positive))
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.encoder.parameters())
        schedule = warmed_up(optimizer, steps=self.steps, warmup_steps=self.warmup_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
