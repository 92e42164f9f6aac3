"""Checkpoints to go on from: one, whole, whatever the strategy; and the weights out of a sharded one."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor

from pipeline.distributed import first_process
from pipeline.training.optimizer import plain

_PREFIX = "encoder."  # of the encoder's weights in the module


class Resumable(Callback):
    """Every so many steps a checkpoint ``<step>.ckpt`` in ``folder`` (a file, or a folder of shards), then the older one is removed.

    It is written under another name and renamed, so a kill leaves the older or the newer. Nothing that is no number is saved.
    """

    def __init__(self, folder: Path, *, every_steps: int) -> None:
        self.folder = folder
        self.every_steps = every_steps
        self.whole: dict[str, Tensor] | None = None  # under FSDP: the module's weights at the end

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if isinstance(trainer.strategy, FSDPStrategy):  # before the trainer takes its shards from the device
            from torch.distributed.fsdp import FullyShardedDataParallel

            with FullyShardedDataParallel.summon_full_params(trainer.model, writeback=False):  # pyright: ignore[reportArgumentType]
                weights = pl_module.named_parameters(remove_duplicate=False)
                self.whole = {plain(name): weight.detach().cpu().clone() for name, weight in weights}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        check_sharded_gradient(trainer)
        step = trainer.global_step
        if step % self.every_steps == 0 and step < trainer.max_steps:
            save(trainer, self.folder / f"{step}.ckpt")
            if first_process():
                for old in checkpoints(self.folder)[:-1]:
                    remove(old)


def check_sharded_gradient(trainer: pl.Trainer) -> None:
    """DeepSpeed holds the gradients itself and has stepped by now: stop before anything is saved."""
    strategy = trainer.strategy
    if isinstance(strategy, DeepSpeedStrategy):
        norm = strategy.deepspeed_engine.get_global_grad_norm()
        if norm is not None and not math.isfinite(float(norm)):
            raise ValueError(
                f"the gradient is not finite at step {trainer.global_step - 1}; lower optimizer.lr, or use precision 32-true"
            )
        for logger in trainer.loggers if norm is not None else []:
            logger.log_metrics({"gradient_norm": float(norm)}, step=trainer.global_step - 1)  # pyright: ignore[reportArgumentType]


def save(trainer: pl.Trainer, target: Path) -> None:
    """On all processes together."""
    partial = target.parent / f".{target.name}.partial"
    if first_process():
        remove(partial)
        target.parent.mkdir(parents=True, exist_ok=True)
    trainer.strategy.barrier()
    trainer.save_checkpoint(partial)
    trainer.strategy.barrier()
    if first_process():
        remove(target)
        partial.replace(target)
    trainer.strategy.barrier()


def checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob("[0-9]*.ckpt"), key=lambda path: int(path.stem))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def whole_weights(trainer: pl.Trainer, folder: Path, whole: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    """The encoder's weights in fp32 where the processes hold parts of them, ``whole`` being what FSDP put together; None where each
    holds all, or on other processes."""
    if whole is not None:
        return {name.removeprefix(_PREFIX): value for name, value in whole.items() if name.startswith(_PREFIX)}
    if not isinstance(trainer.strategy, DeepSpeedStrategy):
        return None
    shards = folder / "end"
    save(trainer, shards)
    if not first_process():
        return None
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    state: dict[str, Tensor] = get_fp32_state_dict_from_zero_checkpoint(str(shards), "checkpoint")  # pyright: ignore[reportAssignmentType]
    weights = {name.removeprefix("_forward_module.").removeprefix(_PREFIX): value for name, value in state.items()}
    return {name: torch.as_tensor(value).detach().clone() for name, value in weights.items()}


def unrounded(weights: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` of a training that began at ``start`` rounded to bfloat16, as if it had begun at ``start``: what training moved is kept,
    what rounding moved is not. DeepSpeed in bf16 rounds the weights before it takes its copy in fp32."""
    floats = {name: value for name, value in weights.items() if name in start and value.is_floating_point()}
    return {**weights, **{name: start[name] + (value - start[name].bfloat16().float()) for name, value in floats.items()}}
