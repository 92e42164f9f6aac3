"""A page and a composed configuration held against their shapes (`pipeline.shape`)."""

from importlib import import_module
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.build import class_value
from pipeline.explained import explained
from pipeline.shape import Config, Node, Shape


def checked_config(config: dict[str, Any], where: str) -> None:
    """ValueError unless every section of ``config`` has its shape, each expert and phase that of its `fit`."""
    checked(Config, config, where)
    found = [("expert", f"train.{name}", one) for name, one in config["train"].items()]
    found += [("phase", f"pretrain.phases.{name}", one) for name, one in config["pretrain"]["phases"].items()]
    for role, path, training in found:
        checked(shape_of(role, training["fit"], path), training, where, path)


def shape_of(role: str, fit: Node, path: str) -> type[Shape]:
    """The shape of a training's section, which the class that ``fit`` names gives by ``role`` (expert, phase) under ``sections``."""
    known = class_value(fit["_target_"], "sections", f"{path}.fit") or {}
    if role not in known:
        does = f"trains {' and '.join(f'{one}s' for one in known)} only" if known else "is no training"
        raise ValueError(
            f"{path}.fit: expected what trains {role}s, but {fit['_target_']} {does}; see pipeline/training/job.py"
        )
    module, _, name = known[role].rpartition(".")
    return getattr(import_module(f"pipeline.{module}"), name)


def checked(shape: type[BaseModel], raw: Any, where: str, below: str = "") -> Any:
    """An instance of ``shape``; ValueError names ``where``, the key, what is known there, and what was found. ``raw`` stands in the file
    under the path ``below``."""
    try:
        return shape.model_validate(raw)
    except ValidationError as error:
        raise ValueError("\n".join(explained(shape, raw, problem, where, below) for problem in error.errors())) from None
