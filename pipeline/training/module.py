"""What all trainings share: a batch goes through the model in chunks, one optimizer, numbers that are watched."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor

from pipeline.gradcache import Embed, cut, embedded
from pipeline.training.guards import Attempt, clipped, finite_step, out_of_memory
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
        on_nonfinite: Literal["stop", "skip", "back"],
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
        self.losses: dict[str, float] = {}  # of this step, by task

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
        self.losses = {task: value}
        values = {"loss": value, f"loss/{task}": value, **further}
        self.log_dict({"loss": value, f"loss/{task}": value}, logger=False, batch_size=1)
        self.log_further(values)
        self.log("step_loss", value, prog_bar=True, logger=False, batch_size=1)
        return loss

    def log_further(self, values: Mapping[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, step=self.global_step)  # pyright: ignore[reportArgumentType]

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Lightning's; a step for which there was no memory is taken again with less of it kept, with the same result."""
        assert optimizer_closure is not None
        before = {name: value.clone() for name, value in self.named_buffers()}  # what an objective remembers
        while True:
            attempt = Attempt(optimizer_closure)
            try:
                return super().optimizer_step(epoch, batch_idx, optimizer, attempt)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                told = self._keep_less(attempt, error)
            print(f"step {self.global_step}: {told}")
            optimizer.zero_grad(set_to_none=True)
            for name, value in self.named_buffers():
                value.copy_(before[name])
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _keep_less(self, attempt: Attempt, error: Exception) -> str:
        """What is told of less to be kept; ValueError where there is no less, or where the step cannot be taken again."""
        shared = isinstance(self.trainer.strategy, (FSDPStrategy, DeepSpeedStrategy)) or self.trainer.world_size > 1
        if shared or attempt.ended or getattr(self, "slow", None) is not None:
            raise ValueError(
                f"out of memory at step {self.global_step}; set runtime.kept_tokens below {self.kept_tokens} (0 keeps none, which is "
                f"slower and gives the same result); the same command then goes on from the last checkpoint"
            ) from error
        before = self.kept_tokens
        self.kept_tokens = before // 2 if before // 2 >= self.chunk_tokens else 0
        if before:
            kept = f"kept_tokens {before} -> {self.kept_tokens}"
            return f"out of memory; {kept}, which is slower and gives the same result (runtime.kept_tokens)"
        raise ValueError(
            f"out of memory at step {self.global_step}, with {self.chunk_tokens} tokens at once and none kept; lower chunk_tokens (each "
            f"chunk draws its own dropout, so the result is another), max_length_tokens, or runtime.similarities_at_once"
        ) from error

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
