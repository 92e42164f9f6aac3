"""Weights on disk, read and written a part at a time, so that memory does not grow with the model.

A directory of sentence-transformers holds a folder for each of its modules that has weights; the tensors of ``2_Dense`` are called
``2_Dense/linear.weight``, those of the directory itself by their own names.

Files are read with ``pread`` into a buffer of their own, not through a memory map: the pages of a map stay in the resident set
until the kernel wants them back, and would be counted as ours. Layout: github.com/huggingface/safetensors, README, "Format".
"""

import json
import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import torch
from jaxtyping import Shaped
from torch import Tensor

from pipeline.manifest import modules, read_json
from pipeline.sums import check_folder

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PART = 1 << 18  # elements that are worked on at a time: 1 MiB in fp32, so that a few of them stay in the cache
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
HALF = ("F16", "BF16")
MOST_HEADER = 100_000_000  # as safetensors itself
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor stands: file, first byte, and what it is."""

    file: Path
    offset: int
    kind: str  # the format's name of the dtype
    shape: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.kind]

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


class Weights:
    """The tensors of a model directory and of its modules: one `model.safetensors` each, or shards with their index. ValueError where
    there are none, or the directory is not what its list of hashes says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = weight_files(directory)
        if not self.files:
            raise ValueError(f"{directory} holds no {WEIGHTS}: merging needs encoder directories; train it with `dvc repro`")
        check_folder(directory)
        self.places: dict[str, Place] = {}
        for file in self.files:
            folder = file.parent.relative_to(directory).as_posix()
            for own, place in _header(file):
                name = own if folder == "." else f"{folder}/{own}"
                if name in self.places:
                    raise ValueError(f"{file}: tensor {name} stands in {self.places[name].file.name} too; keep one of the two")
                self.places[name] = place
        self._open: dict[Path, int] = {}

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Shaped[Tensor, " numel"]:
        """Elements ``start`` to ``stop`` of the flattened tensor, in its own dtype."""
        place = self.places[name]
        stop = place.numel if stop is None else min(stop, place.numel)
        out = torch.empty(max(0, stop - start), dtype=place.dtype)
        buffer, offset = out.view(torch.uint8).numpy().data, place.offset + start * out.itemsize
        if place.file not in self._open:
            self._open[place.file] = os.open(place.file, os.O_RDONLY)
        while buffer:
            got = os.preadv(self._open[place.file], [buffer], offset)
            if got == 0:
                raise ValueError(f"{place.file}, tensor {name}: the file ends in the middle; fetch or write it again")
            buffer, offset = buffer[got:], offset + got
        return out

    def close(self) -> None:
        for file in self._open.values():
            os.close(file)
        self._open.clear()


def write_like(
    model: Weights, folder: Path, parts: Callable[[str], Iterator[Shaped[Tensor, " n"]]], *, widened: bool = False
) -> None:
    """Files like those of ``model``, with the elements that ``parts(name)`` gives, one part after the other.

    ``widened``: tensors of half precision are written in float32.
    """
    places = {name: widest(place) if widened else place for name, place in model.places.items()}
    for file in model.files:
        # Wide types first, as the library writes them, so that every tensor is aligned.
        names = sorted(
            (name for name, place in places.items() if place.file == file), key=lambda n: (-places[n].dtype.itemsize, n)
        )
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        at = 0
        for name in names:
            place = places[name]
            end = at + place.numel * place.dtype.itemsize
            own = name if file.parent == model.directory else name.removeprefix(f"{file.parent.relative_to(model.directory)}/")
            header[own] = {"dtype": place.kind, "shape": list(place.shape), "data_offsets": [at, end]}
            at = end
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        target = folder / file.relative_to(model.directory)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name in names:
                written = 0
                for part in parts(name):
                    written += part.numel()
                    out.write(part.contiguous().view(torch.uint8).numpy().data)
                assert written == model.places[name].numel, f"{name}: {written} of {model.places[name].numel} elements"
    for index in {file.parent / INDEX for file in model.files}:
        if index.is_file():
            written = json.loads(index.read_text(encoding="utf-8"))
            size = sum(p.numel * p.dtype.itemsize for n, p in places.items() if n in written["weight_map"])
            written = {**written, "metadata": {**written.get("metadata", {}), "total_size": size}} if widened else written
            text = json.dumps(written, indent=2) if widened else index.read_text(encoding="utf-8")
            (folder / index.relative_to(model.directory)).write_text(text, encoding="utf-8")


def widest(place: Place) -> Place:
    """The same tensor in float32, where it is of half precision."""
    return replace(place, kind="F32") if place.kind in HALF else place


def weight_files(directory: Path) -> list[Path]:
    """Of the directory itself, then of its modules. ValueError for a pickle, or a shard that is not there."""
    folders = sorted({"", *modules(directory)})
    return [directory / folder / name for folder in folders for name in _files(directory / folder)]


def _files(directory: Path) -> list[str]:
    if (directory / WEIGHTS).is_file():
        return [WEIGHTS]
    if (directory / INDEX).is_file():
        named = read_json(directory / INDEX).get("weight_map")
        if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
            raise ValueError(
                f"{directory / INDEX}: expected `weight_map`, the shard of each tensor, found {str(named)[:80]}; fetch it again"
            )
        names = sorted(set(named.values()))
        for name in names:
            if Path(name).name != name or not (directory / name).is_file():
                raise ValueError(f"{directory / INDEX} names the shard {name!r}, which is not there; fetch the model again")
        return names
    pickles = sorted(file.name for pattern in PICKLES for file in directory.glob(pattern))
    if pickles:
        raise ValueError(
            f"{directory / pickles[0]} is a pickle, which can run code when it is read; "
            f"expected {WEIGHTS}: save the model with safe_serialization=True"
        )
    return []


def _header(file: Path) -> Iterator[tuple[str, Place]]:
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        if start == b"version " and opened.read(19) == b"https://git-lfs.git":
            raise ValueError(f"{file} is a pointer of Git LFS, not the weights themselves; fetch them: git lfs pull")
        opened.seek(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise ValueError(f"{file} is no safetensors file (a pickle under that name?); save the model as safetensors")
        if length > MOST_HEADER:
            raise ValueError(
                f"{file}: expected a header of at most {MOST_HEADER:,} bytes, found {length:,}; fetch or write it again"
            )
        try:
            header: Any = json.loads(opened.read(length))
        except (ValueError, RecursionError):
            raise ValueError(f"{file} is no safetensors file: its header is not JSON; save the model again") from None
    if not isinstance(header, dict):
        raise ValueError(
            f"{file} is no safetensors file: its header is {type(header).__name__}, not an object; save the model again"
        )
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, _place(file, name, entry, start=8 + length, size=size)


def _place(file: Path, name: str, entry: Any, *, start: int, size: int) -> Place:
    """``start``: where the tensors begin in a ``file`` of ``size`` bytes. ValueError where the header's ``entry`` cannot be right."""
    kind, shape, offsets = (entry.get(key) if isinstance(entry, dict) else None for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(kind, str) or not _sizes(shape, size) or not _sizes(offsets, size) or len(offsets) != 2:
        raise ValueError(
            f"{file}, tensor {name}: expected dtype, shape and data_offsets within the file, found {str(entry)[:100]}; fetch it again"
        )
    if kind not in DTYPES:
        raise ValueError(f"{file}, tensor {name}: type {kind} is unknown; known: {', '.join(DTYPES)}")
    place = Place(file, start + offsets[0], kind, tuple(shape))
    if offsets[1] - offsets[0] != place.numel * place.dtype.itemsize:
        raise ValueError(f"{file}, tensor {name}: shape and length disagree; the file is damaged, fetch it again")
    if start + offsets[1] > size:
        raise ValueError(f"{file} ends in the middle of tensor {name}; fetch or write it again")
    return place


def _sizes(found: Any, most: int) -> TypeGuard[list[int]]:
    return isinstance(found, list) and all(type(n) is int and 0 <= n <= most for n in found)
