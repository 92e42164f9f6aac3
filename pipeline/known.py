"""What is known of a model before it is loaded, or even made: whether it has a transformer, a table of positions, how many layers and
numbers. It is read without torch, from the files of a directory and the lines of the page."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

from pipeline.build import class_value
from pipeline.manifest import HOLDERS, OWN, modules, on_disk, read_json
from pipeline.models import BACKBONE, DERIVED

POSITIONS = "position_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Known:
    """None: not known. ``positions``: whether there is a table of absolute positions; ``rotary``: whether angles tell positions;
    ``dims``: numbers of a vector."""

    transformer: bool | None = None
    positions: bool | None = None
    rotary: bool | None = None
    layers: int | None = None
    dims: int | None = None


def known_of(path: str, config: Mapping[str, Any]) -> Known:
    """Of the model in ``path``, which the run may make: by ``config``, the composed configuration."""
    own = config["derive"].get(Path(path).name) if Path(path).parent == DERIVED else None
    if own is not None:
        target = own["derivation"]["_target_"]
        if class_value(target, "several", path):
            return Known()
        changed = dict(class_value(target, "leaves", path) or {})
        changed |= {name: own["derivation"][name] for name in class_value(target, "bounded", path) or ()}
        return replace(known_of(own["of"], config), **{name: one for name, one in changed.items() if one is not None})
    if Path(path).parts[:1] != BACKBONE.parts[:1]:
        return read(Path(path))
    encoder = config["encoder"]
    directory = _directory(encoder["backbone"])
    found = Known() if directory is None else read(directory)
    changed_width = encoder["pooling"] is not None or encoder["projection"] is not None
    return replace(found, dims=None) if changed_width and Path(path) != BACKBONE else found


def read(directory: Path) -> Known:
    """Of a directory of sentence-transformers or transformers."""
    kinds = modules(directory)
    if any(kind.rsplit(".", 1)[-1] in HOLDERS for kind in kinds.values()):
        return Known()
    trunks = [folder for folder, kind in kinds.items() if kind.endswith(".Transformer")] if kinds else [""]
    if not trunks:
        return Known(False, False, False, 0, None)
    place = directory / trunks[0]
    config = read_json(place / "config.json")
    config = config.get("text_config", config)
    names: set[str] = set()
    for file in sorted(place.glob("*.safetensors")):
        with safe_open(str(file), framework="np") as weights:
            names |= set(weights.keys())
    table = any(name == POSITIONS or name.endswith(f".{POSITIONS}") for name in names) if names else None
    turned = any("rope" in key for key in config) or config.get("position_embedding_type") == "rotary"
    rotary = True if turned else (False if table else None)
    return Known(True, table, rotary, config.get("num_hidden_layers"), _width(directory, kinds, config.get("hidden_size")))


def _width(directory: Path, kinds: Mapping[str, str], width: int | None) -> int | None:
    """Numbers of a vector behind all modules, of token vectors of ``width``; None where it is not known."""
    for folder, kind in kinds.items():
        own = read_json(directory / folder / "config.json")
        if kind.startswith(OWN):
            return None
        if kind.endswith(".Pooling") and width is not None:
            modes = own.get("pooling_mode") or [
                key for key, on in own.items() if key.startswith("pooling_mode_") and on is True
            ]
            width *= 1 if isinstance(modes, str) else max(1, len(modes))
        elif kind.endswith(".Dense"):
            width = own.get("out_features")
    return width


def _directory(backbone: Mapping[str, Any]) -> Path | None:
    """Where the files of a backbone are; None where they are nowhere yet, or are made from nothing."""
    if name := backbone.get("name"):
        return on_disk(name, backbone.get("revision"))
    spec = importlib.util.find_spec(str(backbone["package"])) if "package" in backbone else None
    place = None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"
    return place if place is not None and place.is_dir() else None
