"""The hashes of a directory's files, kept beside them in `SHA256SUMS`, as `sha256sum -c SHA256SUMS` reads them.

A disk, a copy or a cache may change a byte, and neither safetensors nor JSON would tell. Whoever reads a file compares it first.
Price: what is read is hashed once more, about a second for each gigabyte.
"""

import functools
import hashlib
import re
from pathlib import Path

SUMS = "SHA256SUMS"
UP = 4  # folders between a file and the list that names it, at most: data/curated/<corpus>/controls/<name>/train.parquet


def hash_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """List every file of ``folder`` and of those below it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != SUMS)
    lines = [f"{hash_of(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


FORMS = (".onnx", ".onnx_data", ".faiss")  # which may be left where the model was fetched from


def read_sums(file: Path) -> dict[str, str]:
    """By name the hash. ValueError where a line is none, or names what lies elsewhere."""
    found: dict[str, str] = {}
    *lines, rest = file.read_text(encoding="utf-8", errors="replace").split("\n")
    if rest:
        raise ValueError(f"{file}: expected an end of line behind the last name, found {rest[:100]!r}; it was cut short")
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if match is None or ".." in match[2].split("/") or match[2].startswith("/"):
            raise ValueError(f"{file}:{number}: expected a hash of 64 digits and a name, found {line[:100]!r}; it is damaged")
        found[match[2]] = match[1]
    return found


def check_file(file: Path) -> None:
    """ValueError where ``file`` is not what the list of its folder, or of one above, says. A file that no list names passes."""
    for folder in list(file.parents)[: UP + 1]:
        if (folder / SUMS).is_file():
            try:
                expected = read_sums(folder / SUMS).get(file.relative_to(folder).as_posix())
            except ValueError:
                if file.is_absolute() and folder != file.parent:  # a list of others, about other files
                    return
                raise
            if expected is not None:
                _compare(file, expected, folder / SUMS)
            return


def check_folder(folder: Path, *, without: tuple[str, ...] = ("README.md",)) -> None:
    """`check_file` of every file that the list in ``folder`` names, but those that say nothing to a program, and snapshots, models by
    themselves. A name without file is told."""
    if not (folder / SUMS).is_file():
        for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.name not in without):
            check_file(file)
        return
    for name, expected in read_sums(folder / SUMS).items():
        if Path(name).name not in without and not name.startswith("snapshots/"):
            if not (folder / name).is_file():
                if Path(name).suffix in FORMS:
                    continue
                raise ValueError(f"{folder / name} is missing, which {SUMS} names; {_remedy(folder)}")
            _compare(folder / name, expected, folder / SUMS)


def _compare(file: Path, expected: str, listed: Path) -> None:
    stat = file.stat()
    if _known(file.absolute(), stat.st_ino, stat.st_size, stat.st_mtime_ns) != expected:
        raise ValueError(
            f"{file} is damaged, or was changed after it was written: its hash is not the one in {listed}; {_remedy(listed.parent)}"
        )


@functools.lru_cache(maxsize=4096)
def _known(file: Path, inode: int, size: int, changed: int) -> str:
    """Once in a process, as long as the file looks the same."""
    return hash_of(file)


def _remedy(place: Path) -> str:
    return f"restore it (`dvc checkout --force {place}`, or make it anew), or remove {SUMS} if the change is your own"
