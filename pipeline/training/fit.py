"""One training from a section of the configuration: rows, module, trainer, loss curve."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor

from pipeline.build import build
from pipeline.corpus.batches import Feed, turns
from pipeline.corpus.row import Row, Split
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder
from pipeline.objective.objective import Objective
from pipeline.teacher.teacher import Mean, Teacher
from pipeline.trainable import check_snapshots, num_processes
from pipeline.training.bounds import batches
from pipeline.training.budget import affordable, spread
from pipeline.training.checks import built_objectives, check_batches, check_encoder, check_rows, check_views, tell_slow_half
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import TrainingData
from pipeline.training.look import Look
from pipeline.training.own_score import OwnScore
from pipeline.training.reading import Reader
from pipeline.training.resume import unrounded
from pipeline.training.seen import saw
from pipeline.training.snapshots import Snapshots
from pipeline.training.strategy import strategy_for
from pipeline.training.trainer import Point, Trained, module_settings, run_folder, train, without_gradient
from pipeline.view.view import View


class Learned(NamedTuple):
    """``curve``: one point per step. ``beside``: weights of objectives that are to be kept, as ``<task>.<weight>``.
    ``seen``: as `saw` says."""

    curve: list[Point]
    beside: dict[str, Tensor]
    seen: dict[str, dict[str, int]]


def _module(
    learner: Encoder,
    objectives: Mapping[str, Any],
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    *,
    steps: int,
    seed: int,
) -> ContrastiveModule:
    return ContrastiveModule(
        learner,
        objectives,
        build(training["optimizer"], later=True),  # called after the model has moved to its device
        negatives={task: settings["negatives"] for task, settings in training["tasks"].items()},
        similarities_at_once=runtime["similarities_at_once"],
        **module_settings(training, runtime, steps=steps, seed=seed),
    )


def _teachers(training: Mapping[str, Any], runtime: Mapping[str, Any]) -> dict[str, Teacher]:
    limits = {"max_length_tokens": training["max_length_tokens"], "batch_tokens": runtime["batch_tokens"]}
    nodes = {task: settings["teachers"] for task, settings in training["tasks"].items()}
    return {task: _taught(named, limits) for task, named in nodes.items() if named}


def fit(
    encoder: Encoder,
    rows: Mapping[str, list[Row]],
    negatives: Mapping[str, Mapping[str, list[str]]],
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    *,
    seed: int,
    name: str,
    inputs: Mapping[str, str],
    held_out: Mapping[str, list[Row]],
    known: Mapping[Split, Sequence[Row]],
    snapshots: Snapshots | None,
) -> Learned:
    """Train ``encoder`` in place. Of several processes, only the first may write what it gets.

    ``name`` is the run's, ``inputs`` the hashes of what it reads: a stopped training goes on only if its configuration and inputs are
    the same. ``held_out``: validation rows, which `early_stop` looks at. ``known``: by split, all rows that say what answers what, of
    any task, trained on or not: what a row marks is no negative. ``snapshots`` keeps weights along the way. ValueError if rows do not fit.
    """
    strategy, objectives = strategy_for(runtime), built_objectives(training)
    views: dict[str, View] = {task: build(settings["view"]) for task, settings in training["tasks"].items()}
    rows = {task: view.rows(rows[task]) for task, view in views.items()}
    _check(name, training, runtime, rows, negatives, objectives, views, encoder)
    _begin(name, objectives, encoder, seed, whole=not isinstance(strategy, DeepSpeedStrategy | FSDPStrategy))
    teachers, reader = _teachers(training, runtime), Reader(encoder, training["max_length_tokens"])
    planned = partial(_data, rows, negatives, reader, known["train"], objectives, teachers=teachers, views=views, seed=seed)
    module = _module(encoder, copy.deepcopy(objectives), training, runtime, steps=1, seed=seed)  # timed: no state may move
    counts = _counts(name, rows, module, planned, training, runtime, run_folder(name, training, seed, inputs))
    steps = sum(counts.values())
    data = planned(training, counts)
    check_batches(name, data.batches.batches, num_processes(runtime), mixed=training["batches"] == "mixed")
    learner = encoder if isinstance(strategy, str) else copy.deepcopy(encoder)  # a strategy may take it to pieces
    idle = without_gradient(learner, partial(_of_one_text, learner))
    module = _module(learner, objectives, training, runtime, steps=steps, seed=seed)
    callbacks = _looks(reader, held_out, known, objectives, training, teachers, views, seed)
    callbacks += [*_best(held_out, training, runtime, steps), *([snapshots] if snapshots else [])]  # before the checkpoint
    start = time.monotonic()
    run = train(module, data, training, runtime, seed=seed, name=name, inputs=inputs, idle=idle, callbacks=callbacks)
    looked = saw(data.batches.batches[: len(run.curve)], rows, reader)
    if first_process():
        _tell(name, len(run.curve), looked, reader, minutes=(time.monotonic() - start) / 60)
        if learner is not encoder:
            _taken_over(encoder, learner, run, rounded=_rounds(training, runtime))
    return Learned(run.curve, _saved(objectives), looked)


def _check(
    name: str,
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    rows: Mapping[str, Sequence[Row]],
    negatives: Mapping[str, Mapping[str, list[str]]],
    objectives: Mapping[str, Any],
    views: Mapping[str, View],
    encoder: Encoder,
) -> None:
    """ValueError where rows, section, machine and encoder do not fit each other."""
    check_rows(name, training, runtime, rows, negatives)
    check_encoder(name, training, objectives, encoder)
    check_views(name, views, encoder)
    tell_slow_half(name, training, runtime)


def _counts(
    name: str,
    rows: Mapping[str, Sequence[Row]],
    module: ContrastiveModule,
    planned: Callable[..., TrainingData],
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    folder: Path,
) -> dict[str, int]:
    """By task how many batches there are to be, by its rows and, where there is one, by the budget of minutes."""
    counts = batches(training, {task: len(of_task) for task, of_task in rows.items()})
    if training["budget_minutes"] is not None:
        sample = planned({**training, "turns": "own"}, spread(list(counts))).batches
        counts = affordable(counts, module, sample, training, runtime, name=name, folder=folder)
    if training.get("snapshots"):
        check_snapshots(name, training["snapshots"], sum(counts.values()))
    return counts


def _tell(name: str, steps: int, looked: Mapping[str, Mapping[str, int]], reader: Reader, *, minutes: float) -> None:
    """What was done: how many steps, how much of the rows they saw, how long they took, what was cut."""
    told = "; ".join(f"task {task}: {one['seen']} of {one['rows']} rows seen" for task, one in sorted(looked.items()))
    print(f"{name}: {steps} steps in {minutes:.1f} minutes; {told}")
    if cut := reader.cut():
        print(f"{name}: {cut} (max_length_tokens)")


def _begin(name: str, objectives: Mapping[str, Objective], encoder: Encoder, seed: int, *, whole: bool) -> None:
    """Objectives make the weights that they own; ``whole``: each process will hold all weights."""
    for task, objective in objectives.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            objective.begin(width=encoder.width, blocks=encoder.blocks)
        if objective.saves and not whole:
            raise ValueError(
                f"{name}, task {task}: {type(objective).__name__} keeps weights of its own, which needs a process that holds them whole; "
                f"take runtime.strategy: auto or ddp"
            )


def _saved(objectives: Mapping[str, Objective]) -> dict[str, Tensor]:
    saving = {task: objective for task, objective in objectives.items() if objective.saves}
    return {
        f"{task}.{name}": weight.detach().cpu().contiguous()
        for task, objective in saving.items()
        for name, weight in objective.state_dict().items()
    }


def _data(
    rows: Mapping[str, list[Row]],
    negatives: Mapping[str, Mapping[str, list[str]]],
    reader: Reader,
    known: Sequence[Row],
    objectives: Mapping[str, Objective],
    training: Mapping[str, Any],
    counts: Mapping[str, int],
    *,
    teachers: Mapping[str, Teacher],
    views: Mapping[str, View],
    seed: int,
) -> TrainingData:
    """``counts``: batches by task, which `turns` may share out otherwise."""
    tasks = training["tasks"]
    return TrainingData(
        rows,
        negatives,
        reader,
        known=known,
        shuffled=[task for task, settings in tasks.items() if settings["shuffle_documents"]],
        feeds=_feeds(objectives, rows, training, counts),
        num_negatives={task: settings["num_negatives"] for task, settings in tasks.items()},
        steps=sum(counts.values()),
        seed=seed,
        mixed=training["batches"] == "mixed",
        by_length=training["by_length"],
        teachers=teachers,
        views=_varying(views),
    )


def _taught(nodes: Mapping[str, Any], limits: Mapping[str, Any]) -> Teacher:
    """The teacher of a task; of several, their mean, in the order of their names."""
    found = [build(nodes[name]) for name in sorted(nodes)]
    teacher: Teacher = found[0] if len(found) == 1 else Mean(found)
    teacher.load(**limits)
    return teacher


def _varying(views: Mapping[str, View]) -> dict[str, View]:
    return {task: view for task, view in views.items() if view.varies}


def _rounds(training: Mapping[str, Any], runtime: Mapping[str, Any]) -> bool:
    return str(runtime["strategy"]).startswith("deepspeed") and str(training["precision"]).startswith("bf16")


def _taken_over(encoder: Encoder, learner: Encoder, run: Trained, *, rounded: bool) -> None:
    """Give ``encoder`` the weights that its copy ``learner`` came to; ``rounded``: DeepSpeed rounded those it began with."""
    weights = learner.state_dict() if run.weights is None else run.weights
    if run.weights is not None and rounded:
        weights = unrounded(weights, encoder.state_dict())
    absent, _ = encoder.load_state_dict(weights, strict=False)
    left_out = {name.removeprefix("encoder.") for name in run.idle} | {name for name, _ in encoder.named_buffers()}
    assert set(absent) <= left_out, absent  # a sharded file leaves these out


def _feeds(
    objectives: Mapping[str, Any], rows: Mapping[str, list[Row]], training: Mapping[str, Any], counts: Mapping[str, int]
) -> dict[str, Feed]:
    tasks = training["tasks"]
    if training["turns"] == "own":
        shares: Mapping[str, float] = counts
    elif training["turns"] == "explicit":
        shares = {task: settings["turns"] for task, settings in tasks.items()}
    else:
        sizes = {task: settings["batch_size"] for task, settings in tasks.items()}
        num_rows = {task: len(rows[task]) for task in tasks}
        shares = turns(training["turns"], training["turns_temperature"], num_rows, sizes)
    return {
        task: Feed(settings["batch_size"], settings["num_positives"], shares[task], apart=not objectives[task].needs_score)
        for task, settings in tasks.items()
    }


def _looks(
    reader: Reader,
    held_out: Mapping[str, list[Row]],
    known: Mapping[Split, Sequence[Row]],
    objectives: Mapping[str, Any],
    training: Mapping[str, Any],
    teachers: Mapping[str, Teacher],
    views: Mapping[str, View],
    seed: int,
) -> list[Callback]:
    """The early stop that was asked for. In-batch negatives only: no others are mined for validation rows."""
    settings, tasks = training["early_stop"], training["tasks"]
    if settings is None:
        return []
    feeds = {task: Feed(s["batch_size"], 1, 1.0, apart=not objectives[task].needs_score) for task, s in tasks.items()}
    steps = settings["batches_per_task"] * len(tasks)
    try:
        data = TrainingData(
            {task: views[task].rows(held_out[task]) for task in tasks},
            {},
            reader,
            known=[*known["train"], *known["validation"]],
            shuffled=[],
            feeds=feeds,
            num_negatives=dict.fromkeys(tasks, 0),
            steps=steps,
            seed=seed,
            mixed=False,
            by_length=False,
            teachers=teachers,
            views=_varying(views),
        )
    except ValueError as error:
        raise ValueError(f"early_stop, on validation rows: {error}") from error
    when = {"every_steps": settings["every_steps"], "patience": settings["patience"]}
    loss = partial(ContrastiveModule.mean_loss, batches=data.batches)
    return [Look("validation_loss", loss, better="lower", keep=False, **when)]


def _best(
    held_out: Mapping[str, list[Row]], training: Mapping[str, Any], runtime: Mapping[str, Any], steps: int
) -> list[Callback]:
    """What keeps the best weights by each task's own score on validation rows, where that was asked for and can be."""
    settings = training["best"]
    if settings is None:
        return []
    if runtime["strategy"] not in ("auto", "ddp"):
        print(
            f"no process holds all weights under runtime.strategy {runtime['strategy']}: the last weights are taken, not the best"
        )
        return []
    limits = {"max_length_tokens": training["max_length_tokens"], "batch_tokens": runtime["batch_tokens"]}
    score = OwnScore(held_out, rows_per_task=settings["rows_per_task"], **limits)
    if not score.rows:
        print("no task has two validation rows: the last weights are taken, not the best")
        return []
    every = max(1, steps // settings["looks"])
    return [
        Look(
            "validation_score",
            lambda module: score(module.encoder),
            better="higher",
            every_steps=every,
            patience=None,
            keep=True,
        )
    ]


def _of_one_text(encoder: Encoder) -> Tensor:
    ids = torch.tensor([encoder.token_ids(["text"], 8)[0]])
    return encoder(ids, torch.ones_like(ids)).sum()
