"""What each of the page's `models` is, told by where it lies, so that a person may call it anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MERGED, BACKBONE = Path("checkpoints/merged"), Path("checkpoints/backbone")


def merges(models: Mapping[str, str]) -> list[str]:
    """Names of the merged models, sorted: those below `MERGED`."""
    return sorted(name for name, path in models.items() if MERGED in Path(path).parents)


def singles(config: Mapping[str, Any]) -> list[str]:
    """Names of the models that may become final without a merge: all but merges, the backbone as it came, and controls.

    A control is an expert that learns from another deal of the rows, or from shuffled documents.
    """
    controls = {
        config["experts"][name]
        for name, training in config["train"].items()
        if training["control"] is not None or any(task["shuffle_documents"] for task in training["tasks"].values())
    }
    merged = merges(config["models"])
    return [
        name
        for name, path in config["models"].items()
        if name not in merged and path not in controls and Path(path) != BACKBONE
    ]
