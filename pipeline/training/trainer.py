"""The one road of a training: the trainer, checkpoints to go on from, the curve of the loss."""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from torch import Tensor, nn

from pipeline.distributed import first_process
from pipeline.stopping import put_off
from pipeline.training.module import ChunkedModule
from pipeline.training.probe import Probe
from pipeline.training.resume import Resumable, last_whole, whole_weights
from pipeline.training.spikes import Spikes
from pipeline.training.strategy import strategy_for
from pipeline.training.tracking import finish, loggers

Point: TypeAlias = dict[str, Any]  # "step", "loss" and "loss/<task>"
RUNS = Path("data/runs")  # what a stopped training needs to go on; emptied when what it made is published


class Trained(NamedTuple):
    """``curve``: one point per step, none on processes other than the first. ``weights``: the encoder's where the processes held parts
    of them, else None. ``idle``: names of the module's weights that took no part."""

    curve: list[Point]
    weights: dict[str, Tensor] | None
    idle: set[str]


def train(
    module: ChunkedModule,
    data: Any,
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    *,
    seed: int,
    name: str,
    inputs: Mapping[str, str],
    idle: Sequence[nn.Parameter],
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Train ``module`` in place for its ``steps``. What stands in its `run_folder` is removed by who publishes the result.

    ``inputs`` holds hashes of what the training reads: a stopped one goes on only if configuration, seed and inputs are the same.
    ``idle`` weights, which `without_gradient` found, take part again afterwards.
    """
    folder = run_folder(name, training, seed, inputs)
    weights = _run(module, data, training, runtime, folder=folder, name=name, callbacks=callbacks)
    still = {name for name, weight in module.named_parameters() if not weight.requires_grad}
    for weight in idle:
        weight.requires_grad_(True)
    return Trained(curve_in(folder) if first_process() else [], weights, still)


def module_settings(training: Mapping[str, Any], runtime: Mapping[str, Any], *, steps: int, seed: int) -> dict[str, Any]:
    """What `ChunkedModule` takes beside the optimizer."""
    of_training = {key: training[key] for key in ("chunk_tokens", "on_nonfinite")}
    of_training["warmup_steps"] = round(training["warmup"] * steps)
    return {"steps": steps, "seed": seed, **of_training, **{key: runtime[key] for key in ("kept_tokens", "return_memory")}}


def run_folder(name: str, training: Mapping[str, Any], seed: int, inputs: Mapping[str, str]) -> Path:
    """Where a training keeps what it needs to go on."""
    return RUNS / f"{name}-{mark_of(training, seed, inputs)}"


def mark_of(training: Mapping[str, Any], seed: int, inputs: Mapping[str, str]) -> str:
    """What a stopped training must have in common with the one that goes on: configuration, seed, hashes of what is read."""
    return hashlib.sha256(json.dumps([dict(training), seed, dict(inputs)], sort_keys=True).encode()).hexdigest()[:12]


def _run(
    module: ChunkedModule,
    data: Any,
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    *,
    folder: Path,
    name: str,
    callbacks: Sequence[Callback],
) -> dict[str, Tensor] | None:
    """Train from the last checkpoint in ``folder`` on; the weights where the processes held parts of them. With a key ``probe`` in
    ``runtime`` it is only tried, and ends with `Probed`."""
    found = last_whole(folder)
    when = {"every_steps": runtime["checkpoint_every_steps"], "every_minutes": runtime["checkpoint_every_minutes"]}
    resumable = Resumable(folder, **when)
    watching = [Probe(folder, runtime, callbacks)] if "probe" in runtime else [*callbacks, resumable]
    trainer = pl.Trainer(
        accelerator=runtime["accelerator"],
        devices=runtime["devices"],
        num_nodes=runtime["num_nodes"],
        strategy=strategy_for(runtime),
        max_steps=module.steps,
        max_epochs=1,
        precision=training["precision"],
        gradient_clip_val=training["gradient_clip"],
        logger=loggers(folder, name, runtime) if first_process() else False,
        callbacks=[
            TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else max(1, module.steps // 4)),
            Spikes(on_nonfinite=training["on_nonfinite"], spike=training.get("on_spike")),
            *watching,
        ],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic="warn",
    )
    try:
        with put_off():
            trainer.fit(module, data, ckpt_path=None if found is None else str(found), weights_only=True)
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


def curve_text(points: Sequence[Mapping[str, Any]]) -> str:
    """The points as CSV; an absent value is an empty field."""
    columns = sorted({key for point in points for key in point} | {"step", "loss"}, key=lambda key: (key != "step", key))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.6f}" if isinstance(v, float) else v for key, v in point.items()} for point in points)
    return text.getvalue()
