"""What a run leaves out, since no corpus has rows for it: the page that ships names experts of two tasks, a person's file may hold one.

DVC takes its lists from `params.yaml` and runs each of their items. Those that are left out write a note (`pipeline.stage.left_out`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.models import merges
from pipeline.spelling import nearest

EXPERTS = Path("checkpoints/experts")


def leave_out(config: dict[str, Any]) -> list[str]:
    """Take out of ``config`` what learns a task without rows, merges of fewer than two experts that come of it, what is derived of either,
    and the models of all; lines that say so. What is taken out stays as a section, since DVC asks for it, and stands under ``left_out``.

    Nothing is left out where nothing would be left to train because of a misspelt task: `check_tasks` then says what is wrong. Rows of
    other tasks alone can still be read and curated; stage pretrain stops.
    """
    tasks, phases = config["tasks"], config["pretrain"]["phases"]
    lacking = {name: _unknown(training, tasks) for name, training in config["train"].items()}
    experts = {name: config["experts"][name] for name, missing in lacking.items() if missing}
    nothing_left = set(experts) == set(lacking)
    misspelt = any(nearest(task, tasks) for missing in lacking.values() for task in missing)
    if not tasks or (nothing_left and misspelt):
        experts = {}
    config["experts"] = {name: path for name, path in config["experts"].items() if name not in experts}
    merged = merges(config["models"]) if experts else []
    to_merge = [path for path in config["experts"].values() if Path(path).parent == EXPERTS]
    methods = {name: f"checkpoints/merged/{name}" for name in config["merge"]} if experts and len(to_merge) < 2 else {}
    lacking_two = {str(EXPERTS)} if experts and len(to_merge) < 2 else set()
    derived = _derived(config["derive"], {*experts.values(), *methods.values(), *lacking_two})
    paths = {*experts.values(), *methods.values(), *derived.values()}
    models = {name: path for name, path in config["models"].items() if path in paths or (methods and name in merged)}
    config["models"] = {name: path for name, path in config["models"].items() if name not in models}
    config["left_out"] = {"train": experts, "merge": methods, "derive": derived, "evaluate": models}
    gone = [name for name, phase in phases.items() if _unknown(phase, tasks)] if tasks else []
    missing = sorted(
        {task for name in experts for task in lacking[name]} | {t for name in gone for t in _unknown(phases[name], tasks)}
    )
    config["pretrain"]["phases"] = {name: phase for name, phase in phases.items() if name not in gone}
    parts = {"phases": gone, "experts": experts, "merges": methods, "derivations": derived, "models": models}
    told = "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)
    if not told:
        return []
    stop = (
        f"; corpora have {', '.join(tasks)}. Nothing is left to train, so pretrain will stop"
        if experts and nothing_left
        else ""
    )
    return [f"no corpus has rows of task {' and '.join(missing)}, so these are left out: {told}{stop}"]


def _derived(derive: Mapping[str, Any], gone: set[str]) -> dict[str, str]:
    """By name the directories of the derivations that come of ``gone``, or of one of these."""
    found: dict[str, str] = {}
    while new := {
        name: f"checkpoints/derived/{name}" for name, one in derive.items() if one["of"] in gone and name not in found
    }:
        found |= new
        gone = {*gone, *new.values()}
    return found


def _unknown(training: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[str]:
    return [task for task in training.get("tasks", {}) if task not in tasks]
