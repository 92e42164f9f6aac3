"""What all trainings share: a batch goes through the model in chunks, one optimizer, numbers that are watched."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor

from pipeline.gradcache import Embed, cut, embedded
from pipeline.training.guards import clipped, finite_step
from pipeline.training.optimizer import matrices, trained_weights, warmed_up


class ChunkedModule(pl.LightningModule):
    """``chunk_tokens`` go through the model at once; memory is kept for ``kept_tokens`` of them. So a batch, and what a loss ranks,
    may be larger than memory, and gradients are those of the whole. ``optimizer`` is called with the trained weights by name, and the
    names of those to be decayed."""

    def __init__(
        self,
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        steps: int,
        warmup_steps: int,
        seed: int,
        chunk_tokens: int,
        kept_tokens: int,
        return_memory: bool,
        on_nonfinite: Literal["stop", "skip"],
    ) -> None:
        super().__init__()
        self.make_optimizer = optimizer
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.seed = seed
        self.chunk_tokens = chunk_tokens
        self.kept_tokens = kept_tokens
        self.return_memory = return_memory
        self.on_nonfinite: str = on_nonfinite
        self.decayed: frozenset[str] | None = None
        self.gradient_norm: float | None = None  # of this step, before clipping

    def setup(self, stage: str) -> None:
        """The trainer's first call, when the model is whole: a strategy shards it next, and flat weights look like vectors."""
        self.decayed = matrices(self)

    def one_by_one(self, embed: Embed, lengths: list[int], number: int) -> Float[Tensor, " T"]:
        """A number for each item of batch ``number``, on every process, each computed by one of them."""
        limits = {"kept_tokens": self.kept_tokens, "return_memory": self.return_memory}
        chunks = cut([min(length, self.chunk_tokens) for length in lengths], self.chunk_tokens)
        return embedded(lambda items: embed(items)[:, None], chunks, seed=f"{self.seed} {number}", **limits)[:, 0]

    def told(self, loss: Tensor, task: str, **further: float) -> Tensor:
        """``loss``, which goes to the curve and the tracker. ValueError where it is no number and the policy is to stop."""
        value = float(loss.detach())
        if value - value != 0 and self.on_nonfinite == "stop":
            raise ValueError(
                f"the loss of task {task} is {value} at step {self.global_step}; lower optimizer.lr, or use precision 32-true"
            )
        values = {"loss": value, f"loss/{task}": value, **further}
        self.log_dict({"loss": value, f"loss/{task}": value}, logger=False, batch_size=1)
        self.log_further(values)
        self.log("step_loss", value, prog_bar=True, logger=False, batch_size=1)
        return loss

    def log_further(self, values: Mapping[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, step=self.global_step)  # pyright: ignore[reportArgumentType]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.gradient_norm = finite_step(self, optimizer, sharded=self.sharded)
        if self.gradient_norm is not None:
            self.log_further({"gradient_norm": self.gradient_norm})

    @property
    def sharded(self) -> bool:
        """Whether each process holds its own part of every gradient, and the optimizer sees these parts."""
        return isinstance(self.trainer.strategy, FSDPStrategy) and self.trainer.world_size > 1

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's, but for FSDP, where it refuses: the norm of the whole gradient is known here."""
        if isinstance(self.trainer.strategy, FSDPStrategy):
            clipped(optimizer, self.gradient_norm, gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> Any:
        assert self.decayed is not None, "the trainer calls `setup` first"
        optimizer = self.make_optimizer(trained_weights(self), self.decayed)
        schedule = warmed_up(optimizer, steps=self.steps, warmup_steps=self.warmup_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
