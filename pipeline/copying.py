"""A model's directory copied by a list of names: what is neither weights nor words about them stays behind, and a link leads nowhere.

A directory from elsewhere may hold code, pickles, or links to files of the machine it is copied on; what is copied may be pushed.
"""

import re
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from pipeline.sums import SUMS

COPIED = ("*.json", "*.yaml", "*.txt", "*.model", "*.jinja", "*.safetensors", "*.csv", "*.png", "*.md", "LICENSE*", "NOTICE*")
COPIED += ("*.codes", "*.spm", "*.bpe", "*.tokenizer", "*.tiktoken")  # what some tokenizers read
DEEP = 3  # folders below a model's: modules of a router
STORED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?$")  # of DVC's cache, wherever it is
SHOWN = 5


def copy_model(source: Path, target: Path, *, without: tuple[str, ...] = ()) -> None:
    """Files of ``source`` that `COPIED` names into ``target``, but for patterns ``without``, hidden ones and ``snapshots``. One line names
    what else lies there. ValueError for a link that leads out of it."""
    left: list[str] = []
    for file in _files(source):
        name = file.relative_to(source).as_posix()
        if any(fnmatch(file.name, pattern) for pattern in (*without, SUMS)):
            continue
        if not any(fnmatch(file.name, pattern) for pattern in COPIED):
            left.append(name)
            continue
        _check_link(file, source)
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    if left:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        print(f"{source}: not copied, being no part of a model: {', '.join(left[:SHOWN])}{more}")


def _files(source: Path) -> Iterator[Path]:
    for file in sorted(source.rglob("*")):
        parts = file.relative_to(source).parts
        hidden = any(part.startswith(".") for part in parts)
        if file.is_file() and not hidden and parts[0] != "snapshots" and len(parts) <= DEEP + 1:
            yield file


def _check_link(file: Path, source: Path) -> None:
    """The Hub's cache and DVC's hold a model as links to what they store; any other link stays within the directory."""
    real = file.resolve()
    stores = [
        source.resolve(),
        *([source.resolve().parents[1] / "blobs"] if source.resolve().parent.name == "snapshots" else []),
    ]
    if not any(real.is_relative_to(store) for store in stores) and not STORED.search(real.as_posix()):
        raise ValueError(f"{file} is a link to {real}, outside of {source}; put the file itself there, or remove the link")
