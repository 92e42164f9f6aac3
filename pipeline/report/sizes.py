"""How large a model is, how much is reckoned for a token, and how long a text it reads: of its files, so that equal runs say the same.

Seconds differ from run to run, and stand on the page of costs. What is reckoned are the weights that a token meets: each is one
multiplication. What attention adds for long texts does not count.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import yaml
from safetensors import safe_open

from pipeline.known import read
from pipeline.manifest import read_json
from pipeline.weights import weight_files

SETTINGS, RECORD = "encoder.yaml", "derivation.json"
NO_LIMIT = 10**6  # as `pipeline.encoder.inputs` writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """``per_token``: weights that a token meets, at least the numbers of its own row in a table. ``layers`` and ``dims`` where they are
    known; ``cut_of``: the directory that a derivation cut, where one did; ``longest``: tokens, None where files name no limit."""

    bytes: int
    per_token: int
    longest: int | None
    layers: int | None
    dims: int | None
    cut_of: str | None


def sizes(folders: Iterable[str]) -> dict[str, Size]:
    """By directory, of those that are there and hold weights."""
    return {name: _size(Path(name)) for name in sorted(folders) if Path(name).is_dir() and weight_files(Path(name))}


def _size(directory: Path) -> Size:
    known, per_token, files = read(directory), 0, weight_files(directory)
    for file in files:
        with safe_open(str(file), framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118  not a mapping
                shape = weights.get_slice(name).get_shape()
                row = len(shape) == 2 and (
                    "embed" in name or name.endswith("shared.weight")
                )  # of a table a token meets one row
                per_token += prod(shape[1:] if row else shape)
    settings = directory / SETTINGS
    told = yaml.safe_load(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    record, provenance = read_json(directory / RECORD), read_json(directory / "provenance.json")
    longest = told.get("max_length_tokens") or read_json(directory / "sentence_bert_config.json").get("max_seq_length")
    cut = {"layers", "dims", "weights_kept"} <= set(record)
    return Size(
        bytes=sum(file.stat().st_size for file in files),
        per_token=per_token,
        longest=longest if longest and longest < NO_LIMIT else None,
        layers=record.get("layers", known.layers),
        dims=record.get("dims", known.dims),
        cut_of=next(iter(provenance["inputs"])) if cut else None,
    )
