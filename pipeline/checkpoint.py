"""Directories that appear whole or not at all, and hashes that say what they were made from."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.limits import parsed_yaml
from pipeline.sums import check_file, hash_of, write_sums
from pipeline.writing import alone, replaced, stored

PROVENANCE = "provenance.json"
SEEN = "seen.json"  # in an expert: what its training saw of the rows of each task, and how far it moved the weights
OBJECTIVE = "objective.safetensors"  # beside an expert: weights of its objectives that are kept, as <task>.<weight>
# What `architecture.yaml` may name, by its key: it may be anybody's.
PARTS = {"load": r"pipeline(\.\w+)?\.model\.load", "merge": r"pipeline(\.\w+)?\.beside\.\w+"}
PARTS |= {key: rf"pipeline(\.\w+)?\.{key}\.\w+\.\w+" for key in ("architecture", "head")}
ARCHITECTURE = "architecture.yaml"  # beside an encoder: what the model is that predicts with it


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A folder to fill that takes the name ``target`` only when the block ends without an error. `SHA256SUMS` in it lists its files.

    Whoever is killed in between leaves the old folder, none, or the new one, each whole, a loss of power included: what was there is moved
    aside in one step. ValueError where another process is making ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, before = (target.parent / f".{target.name}.{end}" for end in ("partial", "before"))
    with alone(target):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            write_sums(partial)
            stored(partial)
            shutil.rmtree(before, ignore_errors=True)
            if target.exists():
                target.replace(before)
            replaced(partial, target)
        finally:
            for left_over in (partial, before):
                shutil.rmtree(left_over, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """``target`` replaced in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.partial"
    with alone(target, wait=True):
        partial.write_text(text, encoding="utf-8")
        stored(partial)
        replaced(partial, target)


def write_json(target: Path, content: Any) -> None:
    """Sorted keys, so that equal content gives equal bytes. NaN is refused: JSON has none."""
    write_text(target, json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def write_yaml(target: Path, content: Any) -> None:
    write_text(target, yaml.safe_dump(content, sort_keys=True, allow_unicode=True, width=120))


def read_json(path: Path) -> Any:
    """ValueError where the file is missing: an earlier stage has not run."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; run `dvc repro`, which makes it")
    check_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and run `dvc repro`, which makes it anew") from None


def architecture_of(directory: Path) -> dict[str, Any] | None:
    """What `architecture.yaml` says: in it, ``load`` is the node of what loads the model, ``merge`` that of what merges it with others.
    None for a plain encoder."""
    file = directory / ARCHITECTURE
    if not file.is_file():
        return None
    content = parsed_yaml(file)
    content = content if isinstance(content, dict) else {}
    if lacking := [key for key in ("load", "merge") if key not in content]:
        raise ValueError(
            f"{file}: expected keys `load` and `merge`, which say what loads the model and what merges it, found no "
            f"{' and no '.join(lacking)}; train it anew with `dvc repro`"
        )
    for key, node in content.items():
        target = str(node.get("_target_", "")) if isinstance(node, dict) else ""
        if target and not re.fullmatch(PARTS.get(key, "nothing"), target):
            raise ValueError(
                f"{file}: {key}._target_: {target!r} is no part of a model that is loaded; take the file of this model"
            )
    if "${" in str(content) or "_target_" in str([list(node.values()) for node in content.values() if isinstance(node, dict)]):
        raise ValueError(
            f"{file}: expected plain values in each part, found a node in a node, or ${{...}}; take the file of this model"
        )
    return content


def learned_from(directory: Path) -> str | None:
    """The deal of the rows that the model in ``directory`` was trained on, as its provenance says: it is judged by the same. None: the
    corpus' own split, or a model from elsewhere."""
    file = directory / PROVENANCE
    found = read_json(file) if file.is_file() else {}
    return found.get("config", {}).get("train", {}).get("control")


def sha256(path: Path) -> str:
    """Of a file's bytes; of a folder, the hash over the sorted names and hashes of its files. ValueError if there is none."""
    if not path.exists():
        raise ValueError(f"{path} is missing; run `dvc repro`, which makes it")
    if path.is_dir():
        lines = [f"{sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in sorted(path.rglob("*")) if file.is_file()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    return hash_of(path)


def write_provenance(directory: Path, *, version: str, config: Mapping[str, Any], inputs: Mapping[str, Path]) -> None:
    """What ``directory`` was made from: code version, configuration, and the hash of each input. No time, host or path of one."""
    hashes = {name: sha256(path) for name, path in sorted(inputs.items())}
    write_json(directory / PROVENANCE, {"tributary": version, "config": dict(config), "inputs": hashes})


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
