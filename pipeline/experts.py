"""What Hydra composes for an expert of `params.yaml`: one of the catalogue, one named after a task, the twin of one, or `joint`."""

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from pipeline.choice import CONF, PAGE, check_choice
from pipeline.task import Kind

JOINT = "joint"


def composing(name: str, kinds: Mapping[str, Kind], experts: Collection[str]) -> list[str]:
    """What composes an expert of the catalogue, or, of the name of a task, one trained on that with the settings of its kind. `joint`
    learns the tasks that the page's ``experts`` are named after, where there are several, and those of its file otherwise."""
    if (of := of_random(name, kinds)) is not None:
        return [*composing(of, kinds, experts), "++train.control=random"]
    if name not in kinds or (CONF / "expert" / f"{name}.yaml").is_file():
        check_choice("expert", name, f"{PAGE}: experts")
        together = [task for task in experts if task in kinds] if name == JOINT else []
        return [f"expert={name}", *(_learned_together(together, kinds) if len(together) > 1 else [])]
    check_choice("task", kinds[name].name, f"{PAGE}: experts.{name}, of kind {kinds[name].name}")
    return ["~expert", f"+task@train.tasks.{name}={kinds[name].name}"]


def _learned_together(tasks: Collection[str], kinds: Mapping[str, Kind]) -> list[str]:
    """What makes `joint` learn ``tasks`` in place of those of its file."""
    of_file = [key.split(".")[-1] for one in _defaults(JOINT) for key in one if "@tasks." in key]
    gone = [f"~task@train.tasks.{task}" for task in of_file if task not in tasks]
    return gone + [f"+task@train.tasks.{task}={kinds[task].name}" for task in tasks if task not in of_file]


def of_random(name: str, known: Collection[str]) -> str | None:
    """The expert whose training on rows dealt at random ``name`` is, `<expert>_random`, where no file of conf/expert has that name and no
    task. ``known``: tasks."""
    of = name.removesuffix("_random")
    files = {file.stem for file in (CONF / "expert").glob("[!_]*.yaml")}
    return of if of != name and name not in {*known, *files} and of in {*known, *files} else None


def _defaults(name: str) -> list[dict[str, Any]]:
    found = yaml.safe_load((CONF / "expert" / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    return [one for one in found if isinstance(one, dict)]
