"""Where files may lie: paths below the working directory or a root, packed or not, alone or as the shards of a folder."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pipeline.spelling import nearest

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".xlsx")
PACKED = (".gz", ".zst", ".bz2", ".xz")
TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")  # what may be packed
HOME = "~/"
COPY = "/.dvc/tmp/exps/"  # where `dvc exp run --queue` and `--temp` work
SHOWN = 5  # names of files in a line that says what was not read


def inside(path: str, root: str | None) -> Path:
    """``path`` below the working directory, or below ``root`` where one is given; "~/" at its beginning, or that of ``root``, is home.

    The check is on the written path: a link inside the workspace may point out of it, as DVC's own links do.
    """
    if root is not None and not root.strip():
        raise ValueError("root must be a folder or null, got an empty text; is the environment variable it is read from set?")
    if path.startswith(HOME) and root is None:
        path, root = path.removeprefix(HOME), "~"
    if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(
            f"path must be relative and must not contain '..', got {path!r}; put the data below "
            f"{Path.cwd() if root is None else root}, or name the folder that holds it as root"
        )
    return _below(root) / path


def shown(path: Path, root: str | None) -> str:
    """``path`` as rejected records name it: relative to what `inside` put it below, so that it is the same on every machine."""
    if root is None and not path.is_relative_to(Path.cwd()):
        return HOME + path.relative_to(_below("~")).as_posix()
    return path.relative_to(_below(root)).as_posix()


def _below(root: str | None) -> Path:
    return Path.cwd() if root is None else Path(root).expanduser().absolute()


def found(path: Path) -> Path:
    """``path`` itself, or a ValueError that says where it was looked for."""
    if path.exists():
        return path
    parent = next(folder for folder in path.parents if folder.is_dir())
    beside = sorted(entry.name for entry in parent.iterdir())
    missing = path.relative_to(parent).parts[0]
    remedy = "put the file there, fetch it with `dvc pull`, or set path and root to where it is"
    if COPY in path.as_posix():
        remedy = "this is DVC's copy of what git tracks, for an experiment: start it with --copy-paths data/source/NAME, once for each"
    raise ValueError(
        f"expected data at {path}, found nothing there ({parent} exists, {missing!r} is not in it{nearest(missing, beside)}); {remedy}"
    )


def checked_file(path: Path) -> Path:
    """``path``, if it is a plain file: a pipe would be waited for, and a device read, for ever."""
    if not found(path).is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise ValueError(f"{path}: expected a file, found {kind}; move it away, or name the file itself")
    return path


def plain_or_packed(path: Path) -> Path:
    """``path``, or the one of ``path``.gz, .zst, ... that exists; two are an error, for one of them would be read in silence."""
    options = [path, *(path.with_name(path.name + ending) for ending in PACKED)]
    there = [option for option in options if option.exists()]
    if len(there) > 1:
        raise ValueError(f"expected one of {there[0]} and {there[1].name}, found both; delete the one that is out of date")
    return there[0] if there else found(path)


def shards(path: Path, *, without: Iterable[Path] = ()) -> list[Path]:
    """The file itself, or the data files of a folder, but those ``without``, in the order of their names.

    One line says what else lies there.
    """
    if not found(path).is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if suffix(file) in SUFFIXES and not file.name.startswith("."))
    files = [file for file in files if file.is_file() and file not in set(without)]
    if not files:
        raise ValueError(
            f"expected data files in {path}, found none; their names must end in {', '.join(SUFFIXES)} (text also {', '.join(PACKED)})"
        )
    plain: dict[str, str] = {}
    for file in files:
        name = unpacked(file.name)
        if plain.setdefault(name, file.name) != file.name:
            raise ValueError(
                f"expected one of {path / plain[name]} and {file.name}, found both; delete the one that is out of date"
            )
    tell_beside(path, [*files, *without])
    return files


def tell_beside(folder: Path, read: Iterable[Path]) -> None:
    """One line that names what lies in ``folder`` and is not ``read``; hidden files and DVC's own are not looked at."""
    names = {path.relative_to(folder).parts[0] for path in read if path.is_relative_to(folder)}
    beside = [entry for entry in sorted(folder.iterdir()) if entry.name not in names]
    beside = [entry for entry in beside if not entry.name.startswith(".") and entry.suffix != ".dvc"]
    if beside:
        told = ", ".join(entry.name + ("/" if entry.is_dir() else "") for entry in beside[:SHOWN])
        print(f"{folder}: not read: {told}" + (f" and {len(beside) - SHOWN} more" if len(beside) > SHOWN else ""))


def unpacked(name: str) -> str:
    """``pairs.csv`` of ``pairs.csv.gz``."""
    return next((name[: -len(ending)] for ending in PACKED if name.lower().endswith(ending)), name)


def suffix(path: Path) -> str:
    """The ending that names the format: ``.csv`` for ``pairs.csv`` and ``pairs.csv.gz``; what is packed by itself is never packed again."""
    name = path.name.lower()
    ending = Path(unpacked(name)).suffix
    return ending if unpacked(name) == name or ending in TEXT else "".join(Path(name).suffixes[-2:])
