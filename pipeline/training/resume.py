"""Checkpoints to go on from, whole, whatever the strategy; and the weights out of a sharded one."""

import math
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor

from pipeline.checkpoint import sha256
from pipeline.distributed import first_process, mean_of, num_processes
from pipeline.stopping import Stopped, asked, step_ended, take_over
from pipeline.training.optimizer import plain

KEPT = 2
HASHED = 16  # hex digits of the hash that stand in a checkpoint's name
_PREFIX = "encoder."  # of the encoder's weights in the module


class Resumable(Callback):
    """Checkpoints ``<step>-<hash>.ckpt`` in ``folder`` (a file, or a folder of shards), every so many steps and every so many minutes; the
    last `KEPT` are kept. It ends the training behind the step in which a signal asked for that, with a checkpoint of it.

    A checkpoint is written under another name and renamed, so a kill leaves the older ones or the newer one too. Nothing that is no
    number is saved.
    """

    def __init__(self, folder: Path, *, every_steps: int, every_minutes: float) -> None:
        self.folder = folder
        self.every_steps = every_steps
        self.every_minutes = every_minutes
        self.saved = time.monotonic()
        self.whole: dict[str, Tensor] | None = None  # under FSDP: the module's weights at the end

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        take_over()  # Lightning's own handlers end a training with status 0
        self.saved = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if isinstance(trainer.strategy, FSDPStrategy):  # before the trainer takes its shards from the device
            from torch.distributed.fsdp import FullyShardedDataParallel

            with FullyShardedDataParallel.summon_full_params(trainer.model, writeback=False):  # pyright: ignore[reportArgumentType]
                weights = pl_module.named_parameters(remove_duplicate=False)
                self.whole = {plain(name): weight.detach().cpu().clone() for name, weight in weights}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        check_sharded_gradient(trainer)
        step = trainer.global_step
        step_ended()
        if step == trainer.max_steps or trainer.should_stop:  # what is trained is handed over within seconds
            return
        stop, due = self._wanted(pl_module.device)
        if stop or due or step % self.every_steps == 0:
            self._keep(trainer, step)
        if stop:
            told = f"at step {step} of {trainer.max_steps}, which is saved; the same command goes on from there"
            raise Stopped(asked() or signal.SIGTERM, told)

    def _wanted(self, device: torch.device) -> tuple[bool, bool]:
        """Whether a signal asked for the end, and whether the minutes are over, on any process: all act alike."""
        own = [asked() is not None, time.monotonic() - self.saved >= 60 * self.every_minutes]
        if num_processes() == 1:
            return own[0], own[1]
        stop, due = (mean_of(torch.tensor(own, dtype=torch.float32, device=device)) > 0).tolist()
        return stop, due

    def _keep(self, trainer: pl.Trainer, step: int) -> None:
        partial = _written(trainer, self.folder / f".{step}.partial")
        if first_process():
            target = self.folder / f"{step}-{sha256(partial)[:HASHED]}.ckpt"
            remove(target)
            partial.replace(target)
            before = [path for path in checkpoints(self.folder) if path != target]
            older = [path for path in before if step_of(path) < step][1 - KEPT :]
            for path in before:
                if path not in older:  # one of a later step was found damaged
                    remove(path)
        trainer.strategy.barrier()
        self.saved = time.monotonic()


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
    partial = _written(trainer, target.parent / f".{target.name}.partial")
    if first_process():
        remove(target)
        partial.replace(target)
    trainer.strategy.barrier()


def _written(trainer: pl.Trainer, partial: Path) -> Path:
    if first_process():
        remove(partial)
        partial.parent.mkdir(parents=True, exist_ok=True)
    trainer.strategy.barrier()
    trainer.save_checkpoint(partial)
    trainer.strategy.barrier()
    return partial


def checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob("[0-9]*.ckpt"), key=step_of)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.partition("-")[0])


def last_whole(folder: Path) -> Path | None:
    """The last checkpoint whose bytes have the hash in its name; a damaged one is named, and the one before is taken. None: the training
    begins at its first step."""
    found = checkpoints(folder)
    while found:
        path = found.pop()
        if path.stem.partition("-")[2] == sha256(path)[:HASHED]:
            return path
        if first_process():
            instead = f"goes on from {found[-1].name}" if found else "begins anew"
            print(f"{path} is damaged: its bytes have not the hash in its name; the training {instead}", file=sys.stderr)
    return None


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
