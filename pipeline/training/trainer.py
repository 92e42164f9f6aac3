"""What every training of the pipeline does alike: the trainer, its checkpoints, its curve."""

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.strategies import Strategy
from torch import Tensor, nn

from pipeline.distributed import first_process
from pipeline.training.resume import Resumable, checkpoints, whole_weights
from pipeline.training.tracking import finish, loggers

Point: TypeAlias = dict[str, Any]  # "step", "loss" and "loss/<task>"


def mark_of(training: Mapping[str, Any], seed: int, inputs: Mapping[str, str]) -> str:
    """What a stopped training must have in common with the one that goes on: configuration, seed, hashes of what is read."""
    return hashlib.sha256(json.dumps([dict(training), seed, dict(inputs)], sort_keys=True).encode()).hexdigest()[:12]


def run_trainer(
    module: pl.LightningModule, data: Any, training: Mapping[str, Any], runtime: Mapping[str, Any], *, strategy: Strategy | str,
    steps: int, folder: Path, name: str, callbacks: Sequence[Callback],
) -> dict[str, Tensor] | None:  # fmt: skip
    """``steps`` of training, from the last checkpoint in ``folder`` on; the weights where the processes held parts of them."""
    found = checkpoints(folder)
    resumable = Resumable(folder, every_steps=runtime["checkpoint_every_steps"])
    trainer = pl.Trainer(
        accelerator=runtime["accelerator"],
        devices=runtime["devices"],
        num_nodes=runtime["num_nodes"],
        strategy=strategy,
        max_steps=steps,
        max_epochs=1,
        precision=training["precision"],
        gradient_clip_val=training["gradient_clip"],
        logger=loggers(folder, name, runtime) if first_process() else False,
        callbacks=[
            TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else max(1, steps // 4)),
            *callbacks,
            resumable,
        ],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic="warn",
    )
    try:
        trainer.fit(module, data, ckpt_path=str(found[-1]) if found else None, weights_only=True)
        return whole_weights(trainer, folder, resumable.whole)
    finally:
        finish()


def without_gradient(model: nn.Module, sample: Callable[[], Tensor]) -> list[nn.Parameter]:
    """Weights that no result depends on, such as a head of the backbone, taken out of the training: DDP would wait for them."""
    model.zero_grad()
    with torch.enable_grad():
        sample().backward()
    unused = [p for p in model.parameters() if p.requires_grad and p.grad is None]
    model.zero_grad(set_to_none=True)
    for weight in unused:
        weight.requires_grad_(False)
    return unused


def curve_in(folder: Path) -> list[Point]:
    """Step and losses; a task that had no turn at a step has no value there.

    Each start of the training wrote a file of its own; where one went back to a checkpoint, the later one counts.
    """
    points: dict[int, dict[str, str]] = {}
    for file in sorted(folder.glob("version_*/metrics.csv"), key=lambda file: int(file.parent.name.removeprefix("version_"))):
        written: dict[int, dict[str, str]] = {}
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):  # a step has a row for its losses, and one for its gradient
                losses = {name: value for name, value in row.items() if name.startswith("loss") and value}
                written.setdefault(int(row["step"]), {}).update(losses)
        points |= written
    return [{"step": step, **{k: float(v) for k, v in losses.items()}} for step, losses in sorted(points.items()) if losses]
