"""verify: whether every byte that a run left is still the one that was written.

Reads:  dvc.lock and the outputs that it names, DVC's cache, and below data/ and checkpoints/ each SHA256SUMS and provenance.json

Nothing is mended. DVC asks a file's size and time of change, and its cache not even that: a bit that a disk turned stays unseen there.
"""

import configparser
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.checkpoint import PROVENANCE, sha256
from pipeline.limits import parsed_json, parsed_yaml
from pipeline.sums import SUMS, hash_of, read_sums

LOCK, DVC = Path("dvc.lock"), Path(".dvc")
PLACES = (Path("data"), Path("checkpoints"))


@dataclass
class Findings:
    """Files and objects that were compared, and a line for each that is not as it was."""

    compared: int = 0
    damaged: dict[str, str] = field(default_factory=dict)  # the first thing that was said of a file

    def add(self, file: Path, fault: str | None) -> None:
        self.compared += 1
        if fault is not None:
            self.damaged.setdefault(file.as_posix(), fault)


def run(words: list[str]) -> None:
    """ValueError names each damaged file."""
    if words:
        raise ValueError(f"verify looks at the whole workspace and takes nothing, got {' '.join(words)}")
    _hash_of.cache_clear()
    cache, found = cache_folder(), Findings()
    _cache(cache, found)
    _outputs(cache, found)
    for place in PLACES:
        for listed in sorted(place.rglob(SUMS)):
            _sums(listed, found)
        for record in sorted(place.rglob(PROVENANCE)):
            _provenance(record, found)
    if not found.compared:
        raise ValueError(
            f"there is nothing to compare: no {LOCK}, no {cache}, no {SUMS} below data/ or checkpoints/; run `dvc repro` first"
        )
    if found.damaged:
        told = "\n".join(f"  {name}: {fault}" for name, fault in sorted(found.damaged.items()))
        raise ValueError(
            f"{len(found.damaged)} of {found.compared} comparisons failed:\n{told}\n  Remove what is damaged in the cache, then restore "
            "the outputs: `dvc checkout --force`, `dvc pull`, or `dvc repro`, which makes them anew"
        )
    print(f"{found.compared} comparisons, nothing is damaged")


def cache_folder() -> Path:
    """Where DVC keeps objects by their hash, as .dvc/config and .dvc/config.local say."""
    config = configparser.ConfigParser()
    config.read([DVC / "config", DVC / "config.local"])
    named = config.get("cache", "dir", fallback="cache")
    return DVC / named / "files/md5"  # an absolute one replaces what stands before


def _cache(cache: Path, found: Findings) -> None:
    objects = sorted(path for path in cache.glob("[0-9a-f][0-9a-f]/*") if path.is_file())
    for path in tqdm(objects, desc="cache", unit="object", leave=False, disable=None):
        name = path.parent.name + path.name.removesuffix(".dir")
        if re.fullmatch("[0-9a-f]{32}", name):  # others are half-written ones of a killed DVC, which it never reads
            found.add(path, None if _md5(path) == name else "an object of DVC's cache whose content is not what its name says")


def _outputs(cache: Path, found: Findings) -> None:
    """What dvc.lock calls an output, where it is there: a clone may not have fetched it yet."""
    if not LOCK.is_file():
        return
    content = parsed_yaml(LOCK)
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, Mapping):
        raise ValueError(f"{LOCK}: expected `stages`, found none; restore it from git, or run `dvc repro`")
    for name, stage in tqdm(sorted(stages.items()), desc="outputs", unit="stage", leave=False, disable=None):
        for out in stage.get("outs", []):
            path, expected = Path(out["path"]), str(out.get("md5"))
            if path.exists() and expected != "None" and name != "compose":  # whose output every command may write anew
                _output(path, expected, f"not what dvc.lock says that {name} wrote", cache, found)


def _output(path: Path, expected: str, fault: str, cache: Path, found: Findings) -> None:
    if not expected.endswith(".dir"):
        found.add(path, None if path.is_file() and _md5(path) == expected else fault)
        return
    stored = cache / expected[:2] / expected[2:]
    if not stored.is_file() or _md5(stored) != expected.removesuffix(".dir"):
        found.add(
            path, None if _md5_of_folder(path) == expected else f"{fault} (its list is not in the cache: some file of it)"
        )
        return
    for entry in parsed_json(stored):
        file = path / entry["relpath"]
        found.add(file, None if file.is_file() and _md5(file) == entry["md5"] else fault if file.is_file() else "missing")


def _sums(listed: Path, found: Findings) -> None:
    try:
        names = read_sums(listed)
    except ValueError as error:
        found.add(listed, str(error))
        return
    for name, expected in names.items():
        file = listed.parent / name
        found.add(
            file,
            None
            if file.is_file() and hash_of(file) == expected
            else f"not what {listed} says"
            if file.is_file()
            else "missing",
        )


def _provenance(record: Path, found: Findings) -> None:
    """Whether a model's inputs are those that it was made from."""
    for name, expected in _inputs(record, found):
        if Path(name).exists() and not Path(name).is_absolute():
            fault = f"its {name} was another one than lies there now; run `dvc repro`, which makes it anew"
            found.add(record, None if _hash_of(name) == expected else fault)


@functools.cache
def _hash_of(name: str) -> str:
    return sha256(Path(name))


def _inputs(record: Path, found: Findings) -> Iterator[tuple[str, Any]]:
    try:
        content = parsed_json(record)
    except ValueError as error:
        found.add(record, str(error))
        return
    inputs = content.get("inputs") if isinstance(content, dict) else None
    yield from inputs.items() if isinstance(inputs, dict) else ()


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5_of_folder(path: Path) -> str:
    """As DVC hashes one: the list of its files, those that .dvcignore names left out."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    entries = [{"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    text = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
