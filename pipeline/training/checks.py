"""Whether rows, objectives and encoder fit each other: asked before a model is loaded where that is possible, before the first step
otherwise. Every ValueError says where, what was expected, what was found, and what to do."""

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pipeline.build import build
from pipeline.corpus.batches import Batch
from pipeline.corpus.row import Row
from pipeline.distributed import encoding_devices
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.fitting import WITH_END
from pipeline.encoder.modules import mixes
from pipeline.objective.objective import Objective
from pipeline.trainable import check_precision, check_slow, check_training, num_processes
from pipeline.view.view import View


def built_objectives(training: Mapping[str, Any]) -> dict[str, Objective]:
    return {task: build(settings["objective"]) for task, settings in training["tasks"].items()}


def check_rows(
    where: str,
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    rows: Mapping[str, Sequence[Row]],
    negatives: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    """All that can be seen without the encoder. ``negatives``: by task and query."""
    if str(runtime["strategy"]).startswith("deepspeed") and training["on_nonfinite"] == "skip":
        raise ValueError(
            f"{where}.on_nonfinite: skip needs the gradients, which DeepSpeed keeps to itself; take stop, or runtime.strategy: ddp"
        )
    check_precision(where, training, runtime)
    check_slow(where, training, runtime)
    mined = {task: settings.get("num_negatives", 0) for task, settings in training["tasks"].items()}  # `compose` asks the miner
    limits = {"longest": training["max_length_tokens"], "processes": num_processes(runtime)}
    given = {
        task: settings for task, settings in training["tasks"].items() if rows[task]
    }  # no rows: told when batches are planned
    check_training(where, {**training, "tasks": given}, mined=mined, **limits)
    objectives = built_objectives(training)
    for task, settings in training["tasks"].items():
        _check_task(f"{where}, task {task}", objectives[task], settings, rows[task], task)


def _check_task(where: str, objective: Objective, settings: Mapping[str, Any], rows: Sequence[Row], task: str) -> None:
    kind = type(objective).__name__
    others = sorted({row.task for row in rows} - {task})
    if others:
        raise ValueError(
            f"{where}: expected rows of this task alone, since a batch is one step of one objective, got {_count(rows, task)} of "
            f"{len(rows)} rows of task {', '.join(others)}; give each task its rows, and take `batches: mixed` to have both in a step"
        )
    unscored = sum(row.score is None for row in rows)
    if objective.needs_score and unscored:
        raise ValueError(
            f"{where}: {kind} needs a score on every row, {unscored} of {len(rows)} have none; "
            f"take an objective for plain pairs (infonce), or a corpus with scores"
        )
    if objective.needs_negatives and not settings["num_negatives"]:
        raise ValueError(
            f"{where}: {kind} learns from mined hard negatives, but num_negatives is 0; set it to 1 or more (conf/task/{task}.yaml), "
            f"or take an objective that needs none"
        )
    if objective.needs_teacher and not settings["teachers"]:
        raise ValueError(
            f"{where}: {kind} learns from a teacher, but there is none; name one by a line "
            f"`/teacher@tasks.{task}.teachers.<name>: encoder` (conf/teacher)"
        )
    try:
        objective.check_scores([row.score for row in rows if row.score is not None])
    except ValueError as error:
        raise ValueError(f"{where}: {kind}: {error}") from None


def check_encoder(where: str, training: Mapping[str, Any], objectives: Mapping[str, Objective], encoder: Encoder) -> None:
    """Whether its vectors have the width and the blocks that the objectives look at, and its prompts leave room for a text."""
    check_end_token(where, encoder)
    for task, objective in objectives.items():
        try:
            objective.check_encoder(width=encoder.width, blocks=encoder.blocks)
            if objective.needs_layers and mixes(encoder.model.modules()):
                raise ValueError(
                    f"{type(objective).__name__} looks at the vectors after each block, which a model that mixes its layers does not "
                    f"make; take another pooling than layer_mix, or another objective"
                )
            for side in ("query", "document"):
                encoder.token_ids(["text"], training["max_length_tokens"], task=task, side=side)
        except ValueError as error:
            raise ValueError(f"{where}, task {task}: {error}") from None


def check_views(where: str, views: Mapping[str, View], encoder: Encoder) -> None:
    """Whether the encoder can tell apart what a view sets side by side."""
    dropouts = [module.p for module in encoder.modules() if isinstance(module, nn.Dropout)]
    for task, view in views.items():
        if view.needs_dropout and not any(dropouts):
            raise ValueError(
                f"{where}, task {task}: {type(view).__name__} needs an encoder with dropout, by which equal texts differ, and this one has "
                f"none; take another view (conf/view), or an encoder with dropout above 0"
            )


def tell_slow_half(where: str, training: Mapping[str, Any], runtime: Mapping[str, Any]) -> None:
    """Say so where bf16 is chosen on a processor that multiplies in float32 faster: it has no instructions for it."""
    if not str(training["precision"]).startswith("bf16") or encoding_devices(runtime):
        return
    single, half = (seconds_of_product(kind) for kind in (torch.float32, torch.bfloat16))
    if half > single:
        print(
            f"{where}.precision is {training['precision']}, but this processor multiplies matrices {half / single:.1f} times faster in "
            f"float32; take 32-true"
        )


def seconds_of_product(kind: torch.dtype) -> float:
    """Of 1,024 tokens of width 384 with a matrix of 384 x 1,536, the best of three."""
    tokens, weight = torch.ones(1024, 384, dtype=kind), torch.ones(384, 1536, dtype=kind)
    found: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(tokens, weight)
        found.append(time.perf_counter() - start)
    return min(found)


def check_end_token(where: str, encoder: Encoder) -> None:
    """A warning where the last token stands for the text, and texts do not end with a token that always ends them."""
    mode = getattr(encoder.pooling, "pooling_mode", "")
    if mode != "lasttoken" or not encoder.trunks:
        return
    short, cut = (encoder.token_ids([text], 8)[0][-1] for text in ("text", "text " * 20))
    if short == encoder.plain_ids(["text"])[0][-1] or cut != short:
        found = "drops the end token of texts that are cut" if cut != short else "ends texts with no special token"
        warnings.warn(
            f"{where}: the vector of a text is that of its last token, but the tokenizer {found}: expected the same end everywhere; "
            f"{WITH_END}, or take choose.pooling: mean",
            stacklevel=2,
        )


def check_batches(where: str, batches: Sequence[Batch], processes: int, *, mixed: bool) -> None:
    """A step holds one task unless batches are mixed, and something of each of its tasks for every process."""
    for number, batch in enumerate(batches):
        tasks = [task for task, _ in batch.parts]
        if len(tasks) > 1 and not mixed:
            raise ValueError(
                f"{where}, step {number}: expected one task, got {' and '.join(tasks)} in one step; take `batches: mixed` if that is meant"
            )
        for task, groups in batch.parts:
            if len(groups) < processes:
                raise ValueError(
                    f"{where}, step {number}: expected at least one query of task {task} for each of {processes} processes, "
                    f"got {len(groups)}; raise batch_size, or lower runtime.devices"
                )


def _count(rows: Sequence[Row], task: str) -> int:
    return sum(row.task != task for row in rows)
