"""One training from a section of the configuration: rows, module, trainer, loss curve."""

import copy
import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from pipeline.build import build
from pipeline.corpus.batches import Feed, turns
from pipeline.corpus.row import Row, Split
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder
from pipeline.trainable import num_processes
from pipeline.training.checks import built_objectives, check_batches, check_encoder, check_rows
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import TrainingData
from pipeline.training.reading import Reader
from pipeline.training.resume import unrounded
from pipeline.training.snapshots import Snapshots
from pipeline.training.stopping import EarlyStop
from pipeline.training.strategy import strategy_for
from pipeline.training.teacher import Teacher
from pipeline.training.trainer import Point, curve_in, mark_of, run_trainer, without_gradient

RUNS = Path("data/runs")  # what a stopped training needs to go on; emptied when it ends


def fit(
    encoder: Encoder, rows: Mapping[str, list[Row]], negatives: Mapping[str, Mapping[str, list[str]]],
    training: Mapping[str, Any], runtime: Mapping[str, Any], *, seed: int, name: str, inputs: Mapping[str, str],
    held_out: Mapping[str, list[Row]], known: Mapping[Split, Sequence[Row]], snapshots: Snapshots | None,
) -> list[Point]:  # fmt: skip
    """Train ``encoder`` in place; the loss curve, one point per step. Of several processes, only the first may write what it gets.

    ``name`` is the run's, ``inputs`` the hashes of what it reads: a stopped training is gone on with only if its
    configuration and inputs are still the same. ``held_out`` are the validation rows that `early_stop` looks at. ``known``: by split, all
    rows that say what answers what, of any task, be they trained on or not: what a row marks is no negative. ValueError, before the
    first step, where rows cannot feed the tasks. ``snapshots`` keeps weights along the way.
    """
    tasks = training["tasks"]
    steps = training["steps_per_task"] * len(tasks)
    objectives = built_objectives(training)
    check_rows(name, training, runtime, rows, negatives)
    check_encoder(name, training, objectives, encoder)
    limits = {"max_length_tokens": training["max_length_tokens"], "batch_tokens": runtime["batch_tokens"]}
    teachers = {task: Teacher.load(s["teacher"], **limits) for task, s in tasks.items() if s["teacher"] is not None}
    reader = Reader(encoder, training["max_length_tokens"])
    data = TrainingData(
        {task: rows[task] for task in tasks},
        negatives,
        reader,
        known=known["train"],
        shuffled=[task for task, settings in tasks.items() if settings["shuffle_documents"]],
        feeds=_feeds(objectives, rows, training),
        num_negatives={task: settings["num_negatives"] for task, settings in tasks.items()},
        steps=steps,
        seed=seed,
        mixed=training["batches"] == "mixed",
        by_length=training["by_length"],
        teachers=teachers,
    )
    check_batches(name, data.batches.batches, num_processes(runtime), mixed=training["batches"] == "mixed")
    optimizer = build(training["optimizer"], later=True)  # made after the model has moved to its device
    strategy = strategy_for(runtime)
    trained = encoder if isinstance(strategy, str) else copy.deepcopy(encoder)  # which a strategy may take to pieces
    unused = without_gradient(trained, lambda: _of_one_text(trained))
    module = ContrastiveModule(
        trained, objectives, optimizer, negatives={task: settings["negatives"] for task, settings in tasks.items()},
        steps=steps, warmup_steps=training["warmup_steps"], seed=seed, chunk_tokens=training["chunk_tokens"],
        kept_tokens=runtime["kept_tokens"], similarities_at_once=runtime["similarities_at_once"], return_memory=runtime["return_memory"],
        on_nonfinite=training["on_nonfinite"],
    )  # fmt: skip
    folder = RUNS / f"{name}-{mark_of(training, seed, inputs)}"
    callbacks = _stopping(reader, held_out, known, objectives, training, teachers, seed)
    callbacks += [snapshots] if snapshots else []  # before the checkpoint, which may be gone on with
    weights = run_trainer(
        module, data, training, runtime, strategy=strategy, steps=steps, folder=folder, name=name, callbacks=callbacks
    )
    if first_process() and (cut := reader.cut()):
        print(f"{name}: {cut} (max_length_tokens)")
    still = {name for name, weight in trained.named_parameters() if not weight.requires_grad}
    for weight in unused:
        weight.requires_grad_(True)
    if (
        weights is not None
        and str(runtime["strategy"]).startswith("deepspeed")
        and str(training["precision"]).startswith("bf16")
    ):
        weights = unrounded(weights, encoder.state_dict())
    if trained is not encoder and first_process():
        absent, _ = encoder.load_state_dict(trained.state_dict() if weights is None else weights, strict=False)
        assert set(absent) <= still | {name for name, _ in encoder.named_buffers()}, absent  # a sharded file leaves these out
    if not first_process():
        return []
    curve = curve_in(folder)
    shutil.rmtree(folder)
    return curve


def _feeds(objectives: Mapping[str, Any], rows: Mapping[str, list[Row]], training: Mapping[str, Any]) -> dict[str, Feed]:
    tasks = training["tasks"]
    if training["turns"] == "explicit":
        shares = {task: settings["turns"] for task, settings in tasks.items()}
    else:
        sizes = {task: settings["batch_size"] for task, settings in tasks.items()}
        num_rows = {task: len(rows[task]) for task in tasks}
        shares = turns(training["turns"], training["turns_temperature"], num_rows, sizes)
    return {
        task: Feed(settings["batch_size"], settings["num_positives"], shares[task], apart=not objectives[task].needs_score)
        for task, settings in tasks.items()
    }


def _stopping(
    reader: Reader, held_out: Mapping[str, list[Row]], known: Mapping[Split, Sequence[Row]], objectives: Mapping[str, Any],
    training: Mapping[str, Any], teachers: Mapping[str, Teacher], seed: int,
) -> list[Callback]:  # fmt: skip
    """The early stop that was asked for. In-batch negatives only: no others are mined for validation rows."""
    settings, tasks = training["early_stop"], training["tasks"]
    if settings is None:
        return []
    feeds = {task: Feed(s["batch_size"], 1, 1.0, apart=not objectives[task].needs_score) for task, s in tasks.items()}
    steps = settings["batches_per_task"] * len(tasks)
    try:
        data = TrainingData(
            {task: held_out[task] for task in tasks}, {}, reader, known=[*known["train"], *known["validation"]], shuffled=[],
            feeds=feeds, num_negatives=dict.fromkeys(tasks, 0), steps=steps, seed=seed, mixed=False, by_length=False, teachers=teachers,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"early_stop, on validation rows: {error}") from error
    return [EarlyStop(data.batches, every_steps=settings["every_steps"], patience=settings["patience"])]


def _of_one_text(encoder: Encoder) -> Tensor:
    ids = torch.tensor([encoder.token_ids(["text"], 8)[0]])
    return encoder(ids, torch.ones_like(ids)).sum()


def curve_text(points: Sequence[Mapping[str, Any]]) -> str:
    """The points as CSV; an absent value is an empty field."""
    columns = sorted({key for point in points for key in point} | {"step", "loss"}, key=lambda key: (key != "step", key))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.6f}" if isinstance(v, float) else v for key, v in point.items()} for point in points)
    return text.getvalue()
