"""What each model of the page is, in words, by where it lies and what it learned, so that a person may call it anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.models import BACKBONE, challengers

BASE = Path("checkpoints/base")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """``about``: what sets it apart; empty for baselines, models that must pass the gate, and experts of one task."""

    path: str | None
    gated: bool
    about: str


def told(cfg: Mapping[str, Any]) -> dict[str, Model]:
    """Baselines, then single models, then merges and derived models; experts, which are trained, stand behind the other single models."""
    gated = challengers(cfg["models"])
    order = sorted(cfg["models"], key=lambda name: (name in gated, name in cfg["experts"], name))
    models = {name: Model(path=None, gated=False, about="") for name in cfg["baseline"]}
    return models | {
        name: Model(path=cfg["models"][name], gated=name in gated, about="" if name in gated else _about(cfg, name))
        for name in order
    }


def _about(cfg: Mapping[str, Any], name: str) -> str:
    path = cfg["models"][name]
    if Path(path) in (BACKBONE, BASE):
        return (
            "the model off the shelf, read as it comes: its own pooling, prompts and length"
            if Path(path) == BACKBONE
            else "after pretraining"
        )
    experts = [expert for expert, place in cfg["experts"].items() if place == path and expert in cfg["train"]]
    if not experts:
        return f"as {path} holds it"
    training = cfg["train"][experts[0]]
    if training.get("control") is not None:
        return f"a control, which learned from the split {training['control']}"
    if any(task["shuffle_documents"] for task in training.get("tasks", {}).values()):
        return "a control, which learned from shuffled documents"
    return _joint(training, cfg["train"])


def _joint(training: Mapping[str, Any], trainings: Mapping[str, Any]) -> str:
    """What sets a training of several tasks apart; empty for one of a single task."""
    if len(training.get("tasks", {})) < 2:
        return ""
    of_tasks = [one for one in trainings.values() if one.get("tasks")]
    apart = {task: _bounds(one) for one in of_tasks if len(one["tasks"]) == 1 for task in one["tasks"]}
    all_tasks = {task for one in of_tasks for task in one["tasks"]}
    which = "all tasks" if all_tasks == set(training["tasks"]) else f"the tasks {' and '.join(sorted(training['tasks']))}"
    batches = "single-task batches" if training["batches"] == "single" else "batches of mixed tasks"
    words = f"{which} in one model, {batches}"
    free = training["budget_minutes"] is None  # else each training has minutes of its own
    if free and set(apart) == set(training["tasks"]) and all(bounds == _bounds(training) for bounds in apart.values()):
        words += ", as many batches as all experts together"
    return words


def _bounds(training: Mapping[str, Any]) -> list[Any]:
    """What makes a task's batches as many here as there."""
    return [training[key] for key in ("epochs", "max_steps_per_task", "steps_per_task", "budget_minutes")]
