"""One training from a section of the configuration: rows, module, trainer, loss curve."""

import csv
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar

from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.params import build
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import TrainingData, shuffled
from pipeline.training.tracking import finish, loggers

Point: TypeAlias = dict[str, Any]  # "step", "loss" and "loss/<task>"

RUNS = Path("data/runs")  # what a stopped training needs to go on; emptied when it ends


def fit(
    encoder: Encoder, rows: Mapping[str, list[Row]], negatives: Mapping[str, Mapping[str, list[str]]],
    training: Mapping[str, Any], runtime: Mapping[str, Any], *, seed: int, name: str, inputs: Mapping[str, str],
) -> list[Point]:  # fmt: skip
    """Train ``encoder`` in place; the loss curve, one point per step.

    ``name`` is the run's, ``inputs`` the hashes of what it reads: a stopped training is gone on with only if its
    configuration and inputs are still the same. ValueError, before the first step, where rows cannot feed the tasks.
    """
    tasks = training["tasks"]
    steps = training["steps_per_task"] * len(tasks)
    objectives = {task: build(settings["objective"]) for task, settings in tasks.items()}
    for task, objective in objectives.items():
        unscored = sum(row.score is None for row in rows[task])
        if objective.needs_score and unscored:
            raise ValueError(
                f"task {task}: {type(objective).__name__} needs a score on every row, {unscored} of {len(rows[task])} have none"
            )
    data = TrainingData(
        {task: shuffled(rows[task], seed) if tasks[task]["shuffle_documents"] else rows[task] for task in tasks},
        negatives,
        encoder,
        batch_size={task: settings["batch_size"] for task, settings in tasks.items()},
        num_negatives={task: settings["num_negatives"] for task, settings in tasks.items()},
        steps=steps,
        max_length_tokens=training["max_length_tokens"],
        seed=seed,
    )
    optimizer = build(training["optimizer"], later=True)  # made after the model has moved to its device
    module = ContrastiveModule(encoder, objectives, optimizer, steps=steps, warmup_steps=training["warmup_steps"], seed=seed)
    mark = hashlib.sha256(json.dumps([dict(training), seed, dict(inputs)], sort_keys=True).encode()).hexdigest()[:12]
    folder = RUNS / f"{name}-{mark}"
    last = folder / "last.ckpt"
    trainer = _trainer(training, steps, runtime, folder, name)
    try:
        trainer.fit(module, data, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    finally:
        finish()
    curve = _curve(folder)
    shutil.rmtree(folder)
    return curve


def _trainer(training: Mapping[str, Any], steps: int, runtime: Mapping[str, Any], folder: Path, name: str) -> pl.Trainer:
    callbacks: list[Callback] = [
        TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else max(1, steps // 4)),
        ModelCheckpoint(
            folder, filename="last", every_n_train_steps=runtime["checkpoint_every_steps"], enable_version_counter=False
        ),
    ]
    return pl.Trainer(
        accelerator=runtime["accelerator"],
        devices=runtime["devices"],
        max_steps=steps,
        max_epochs=1,
        precision=training["precision"],
        gradient_clip_val=training["gradient_clip"],
        logger=loggers(folder, name, runtime),
        callbacks=callbacks,
        log_every_n_steps=1,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic="warn",
    )


def _curve(folder: Path) -> list[Point]:
    """Step and losses; a task that had no turn at a step has no value there.

    Each start of the training wrote a file of its own; where one went back to a checkpoint, the later one counts.
    """
    points: dict[int, dict[str, str]] = {}
    for file in sorted(folder.glob("version_*/metrics.csv"), key=lambda file: int(file.parent.name.removeprefix("version_"))):
        with file.open(encoding="utf-8", newline="") as lines:
            points |= {
                int(row["step"]): {k: v for k, v in row.items() if k.startswith("loss") and v} for row in csv.DictReader(lines)
            }
    return [{"step": step, **{k: float(v) for k, v in losses.items()}} for step, losses in sorted(points.items()) if losses]


def curve_text(points: Sequence[Mapping[str, Any]]) -> str:
    """The points as CSV; an absent value is an empty field."""
    columns = sorted({key for point in points for key in point} | {"step", "loss"}, key=lambda key: (key != "step", key))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.6f}" if isinstance(v, float) else v for key, v in point.items()} for point in points)
    return text.getvalue()
