"""What each of the page's `models` is, told by where it lies, so that a person may call it anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MERGED, DERIVED, BACKBONE = Path("checkpoints/merged"), Path("checkpoints/derived"), Path("checkpoints/backbone")
EXPERTS = Path("checkpoints/experts")  # what merges take


def merges(models: Mapping[str, str]) -> list[str]:
    """Names of the merged models, sorted: those below `MERGED`."""
    return _below(MERGED, models)


def derived(models: Mapping[str, str]) -> list[str]:
    """Names of the derived models, sorted: those below `DERIVED`."""
    return _below(DERIVED, models)


def off_the_shelf(models: Mapping[str, str]) -> str | None:
    """The name of the model as it came, before any training; None where the page does not evaluate it."""
    return next((name for name, path in sorted(models.items()) if Path(path) == BACKBONE), None)


def made_here(path: str) -> bool:
    """Whether the run makes this model out of the one off the shelf; what comes from elsewhere owes that no agreement."""
    return Path(path).parts[:1] == BACKBONE.parts[:1]


def challengers(models: Mapping[str, str]) -> list[str]:
    """Names of the models that must pass the gate against the best single one, sorted: merges and derived models."""
    return sorted([*merges(models), *derived(models)])


def called(models: Mapping[str, str]) -> tuple[str, str]:
    """What one and all of the `challengers` are called, as there are merges, derived models, or both."""
    if not derived(models):
        return "merge", "merges"
    return ("merge or derived model", "merges and derived models") if merges(models) else ("derived model", "derived models")


def _below(place: Path, models: Mapping[str, str]) -> list[str]:
    return sorted(name for name, path in models.items() if place in Path(path).parents)


def singles(config: Mapping[str, Any]) -> list[str]:
    """Names of the models that may become final without passing the gate: all but `challengers`, the backbone as it came, and controls.

    A control is an expert that learns from another deal of the rows, or from shuffled documents.
    """
    no_candidates = {
        config["experts"][name]
        for name, training in config["train"].items()
        if name in config["experts"]
        and (
            training.get("control") is not None or any(task["shuffle_documents"] for task in training.get("tasks", {}).values())
        )
    }
    gated = challengers(config["models"])
    return [
        name
        for name, path in config["models"].items()
        if name not in gated and path not in no_candidates and Path(path) != BACKBONE
    ]


def controls(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """By model, the models of the same training on another deal of the rows: what separates them is owed to the split."""
    trainings = {
        model: config["train"][expert]
        for model, path in config["models"].items()
        for expert, place in config["experts"].items()
        if place == path and expert in config["train"]
    }
    return {
        model: sorted(
            other
            for other, theirs in trainings.items()
            if theirs.get("control") is not None and own.get("control") is None and {**theirs, "control": None} == own
        )
        for model, own in trainings.items()
    }
