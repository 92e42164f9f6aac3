"""Reading files that people made: where they may lie, their formats, and how their columns become rows.

Two kinds of fault are told apart. What spoils a whole file (not there, a column missing from the header, a damaged
archive) is a ValueError: somebody must act. What spoils one record (bad JSON, a broken byte, an empty text) is a
`Rejected`, and reading goes on.
"""

import csv
import difflib
import gzip
import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils.exceptions import InvalidFileException

from pipeline.corpus.row import SPLITS, Rejected, Row, Split, checked_row

ROLES = ("query", "document", "score", "group", "split", "query_id", "document_id")
SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".xlsx")
EXCERPT_CHARACTERS = 200  # of a rejected record; enough to find it in the file, not a second copy of it


class Cells(NamedTuple):
    """One input record before it is a row: where it stood (line from 1) and its values by column."""

    file: str
    line: int
    values: Mapping[str, object]


Columns: TypeAlias = Mapping[str, str | None]


# Where files may lie


def inside(path: str, root: str | None) -> Path:
    """``path`` below the working directory, or below ``root`` where one is given.

    The check is on the written path: a link inside the workspace may point out of it, as DVC's own links do.
    """
    if root is not None and not root.strip():
        raise ValueError("root must be a folder or null, got an empty text; is the environment variable it is read from set?")
    if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(
            f"path must be relative and must not contain '..', got {path!r}; put the data below "
            f"{Path.cwd() if root is None else root}, or name the folder that holds it as root"
        )
    return (Path.cwd() if root is None else Path(root).absolute()) / path


def shown(path: Path, root: str | None) -> str:
    """``path`` as rejected records name it: relative to what `inside` put it below, so that it is the same on every machine."""
    return path.relative_to(Path.cwd() if root is None else Path(root).absolute()).as_posix()


def found(path: Path) -> Path:
    """``path`` itself, or a ValueError that says where it was looked for."""
    if path.exists():
        return path
    parent = next(folder for folder in path.parents if folder.is_dir())
    beside = sorted(entry.name for entry in parent.iterdir())
    missing = path.relative_to(parent).parts[0]
    raise ValueError(
        f"expected data at {path}, found nothing there ({parent} exists, {missing!r} is not in it{nearest(missing, beside)}); "
        "put the file there, fetch it with `dvc pull`, or set path and root to where it is"
    )


def plain_or_gzipped(path: Path) -> Path:
    """``path`` or ``path``.gz, whichever exists; both is an error, for one of them would be read in silence."""
    packed = path.with_name(path.name + ".gz")
    if path.exists() and packed.exists():
        raise ValueError(f"expected one of {path} and {packed.name}, found both; delete the one that is out of date")
    return packed if packed.exists() else found(path)


def shards(path: Path) -> list[Path]:
    """The file itself, or the data files of a folder in the order of their names; other files in it are passed over."""
    if not found(path).is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if suffix(file) in SUFFIXES and not file.name.startswith("."))
    if not files:
        raise ValueError(f"expected data files in {path}, found none; their names must end in {', '.join(SUFFIXES)} (or .gz)")
    return files


def suffix(path: Path) -> str:
    """The ending that names the format: ``.csv`` for ``pairs.csv`` and ``pairs.csv.gz``; a Parquet file is never gzipped."""
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    return ".parquet.gz" if ending == ".parquet" and name.endswith(".gz") else ending


# Configuration that a person wrote


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest of ``known``, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def checked_columns(columns: Columns, *, required: Sequence[str], known: Sequence[str]) -> dict[str, str | None]:
    """Role -> column for every role of ``known``; a role that is left out has no column."""
    for role in columns:
        if role not in known:
            raise ValueError(
                f"columns maps the unknown role {role!r}, expected some of {', '.join(known)}{nearest(role, known)}"
            )
    for role in required:
        if not columns.get(role):
            raise ValueError(f"columns must name the column of {role!r}, got {columns.get(role)!r}; write {role}: <its name>")
    return {role: columns.get(role) for role in known}


def checked_split(split: str | None) -> Split | None:
    """``split`` itself, if it is None or one that `Row` knows."""
    for known in SPLITS:
        if split == known:
            return known
    if split is None:
        return None
    raise ValueError(f"split must be null or one of {', '.join(SPLITS)}, got {split!r}{nearest(split, SPLITS)}")


def checked_splits(name: str, parts: Mapping[str, str | Sequence[str] | None]) -> list[tuple[Split, str]]:
    """(our split, name of a part) in the order of `SPLITS`; ``parts`` maps a split to one name, several or null."""
    for split in parts:
        if split not in SPLITS:
            raise ValueError(
                f"{name} maps the unknown split {split!r}, expected some of {', '.join(SPLITS)}{nearest(split, SPLITS)}"
            )
    pairs: list[tuple[Split, str]] = []
    for split in SPLITS:
        part = parts.get(split)
        for each in [part] if isinstance(part, str) else part or []:
            pairs.append((split, each))
    if not pairs:
        raise ValueError(f"{name} must name at least one split, got {dict(parts)}; write for example train: train")
    return pairs


# Formats


def read_cells(
    path: Path, *, file: str, needed: Sequence[str], delimiter: str | None, quoting: bool
) -> Iterator[Cells | Rejected]:
    """The records of one file, in its order. ``delimiter`` None: a comma for .csv, a tab for .tsv."""
    match suffix(path):
        case ".jsonl" | ".ndjson":
            return _json_lines(path, file)
        case ".parquet":
            return _parquet(path, file, needed)
        case ".xlsx":
            return _sheet(path, file, needed)
        case ".csv" | ".tsv" as kind:
            cut = delimiter or {".csv": ",", ".tsv": "\t"}[kind]
            return _quoted(path, file, needed, cut) if quoting else _unquoted(path, file, needed, cut)
        case other:
            raise ValueError(f"expected a file ending in {', '.join(SUFFIXES)} (or .gz), got {path} ({other!r}); rename it")


def read_lines(path: Path) -> Iterator[str]:
    """Lines without their ends. A byte that is not UTF-8 becomes a lone surrogate, so one broken line does not end the file."""
    with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        try:
            for number, line in enumerate(stream):
                text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
                yield text.removeprefix("\ufeff") if number == 0 else text
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file ({error}); fetch it again") from error


def _json_lines(path: Path, file: str) -> Iterator[Cells | Rejected]:
    for line, text in enumerate(read_lines(path), start=1):
        if not text.strip():
            continue
        if not _is_unicode(text):
            yield Rejected(file, line, "not valid UTF-8", excerpt(text))
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Rejected(file, line, f"not valid JSON: {error}", excerpt(text))
            continue
        if isinstance(values, dict):
            yield Cells(file, line, values)
        else:
            yield Rejected(file, line, f"expected a JSON object, got {type(values).__name__}", excerpt(text))


def _unquoted(path: Path, file: str, needed: Sequence[str], delimiter: str) -> Iterator[Cells | Rejected]:
    """Cut at every delimiter: a quote is a plain character, and a record is always one line."""
    lines = read_lines(path)
    header = next(lines, "").split(delimiter)
    _check_header(path, header, needed)
    for line, text in enumerate(lines, start=2):
        if text:
            yield _cells(file, line, header, text.split(delimiter))


def _quoted(path: Path, file: str, needed: Sequence[str], delimiter: str) -> Iterator[Cells | Rejected]:
    """RFC 4180: a field in quotes may hold the delimiter and line ends. ``line`` is the first line of the record."""
    reader = csv.reader((line + "\n" for line in read_lines(path)), delimiter=delimiter, strict=True)
    header = next(reader, [])
    _check_header(path, header, needed)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(
                file, line, f"not valid CSV: {error}; is a quote left open? (quoting: false takes quotes as they are)"
            )
            continue
        if fields:
            yield _cells(file, line, header, fields)


def _cells(file: str, line: int, header: Sequence[str], fields: Sequence[str]) -> Cells | Rejected:
    if len(fields) != len(header):
        return Rejected(
            file, line, f"expected {len(header)} fields as in the header, got {len(fields)}", excerpt(" | ".join(fields))
        )
    if not all(map(_is_unicode, fields)):
        return Rejected(file, line, "not valid UTF-8", excerpt(" | ".join(fields)))
    return Cells(file, line, dict(zip(header, fields, strict=True)))


def _parquet(path: Path, file: str, needed: Sequence[str]) -> Iterator[Cells]:
    """``line`` is the number of the row, from 1."""
    try:
        with pq.ParquetFile(path) as table:
            _check_header(path, table.schema_arrow.names, needed)
            line = 0
            for batch in table.iter_batches(columns=list(needed)):
                for values in batch.to_pylist():
                    line += 1
                    yield Cells(file, line, values)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is a damaged Parquet file ({error}); fetch it again") from error


def _sheet(path: Path, file: str, needed: Sequence[str]) -> Iterator[Cells]:
    """The first sheet of a workbook, its first row the header; an empty cell is an empty text. ``line`` is the sheet's row."""
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path} is a damaged workbook ({error}); fetch it again") from error
    rows = book.worksheets[0].iter_rows(values_only=True)
    header = [str(name) for name in next(rows, ()) if name is not None]
    _check_header(path, header, needed)
    for line, values in enumerate(rows, start=2):
        if any(value is not None for value in values):
            filled = ["" if value is None else value for value in values[: len(header)]]
            yield Cells(file, line, dict(zip(header, filled, strict=True)))


def _check_header(path: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    for column in needed:
        if column not in header:
            raise ValueError(
                f"{path}: expected a column {column!r}, found {', '.join(map(repr, header))}{nearest(column, header)}; "
                "name the right one under columns, and check delimiter if the columns found look joined"
            )
        if header.count(column) > 1:
            raise ValueError(f"{path}: column {column!r} stands {header.count(column)} times in the header; rename all but one")


# From cells to rows


def mapped_row(cells: Cells, columns: Columns, *, task: str, split: Split | None) -> Row | Rejected:
    """The row that ``columns`` (a column or None for every role of `ROLES`) reads out of ``cells``.

    ``split`` fixes the split where no column tells it. An id without a column is derived from the text.
    """
    values = cells.values
    try:
        query = text_in(values, columns["query"])
        document = text_in(values, columns["document"])
        named_split = label_in(values, columns["split"], optional=True)
        row = Row(
            task=task,
            query_id=label_in(values, columns["query_id"]) or content_id(query),
            query=query,
            document_id=label_in(values, columns["document_id"]) or content_id(document),
            document=document,
            score=score_in(values, columns["score"]),
            split=checked_split(named_split) if named_split is not None else split,
            group=label_in(values, columns["group"], optional=True),
        )
    except ValueError as error:
        return Rejected(cells.file, cells.line, str(error), excerpt(str(dict(values))))
    return checked_row(cells.file, cells.line, row)


def text_in(values: Mapping[str, object], column: str | None) -> str:
    """The text in ``column``, as it is written there."""
    text = _value(values, column)
    if not isinstance(text, str):
        raise ValueError(f"{column!r} must hold a text, got {text!r} ({type(text).__name__})")
    if not _is_unicode(text):
        raise ValueError(f"{column!r} holds half of a surrogate pair, which is no character")
    return text


def score_in(values: Mapping[str, object], column: str | None) -> float | None:
    """The number in ``column``; a number written as text counts, true and false do not. None without a column."""
    if column is None:
        return None
    score = _value(values, column)
    if isinstance(score, int | float | str) and not isinstance(score, bool):
        try:
            return float(score)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{column!r} must hold a number, got {score!r} ({type(score).__name__})")


def label_in(values: Mapping[str, object], column: str | None, *, optional: bool = False) -> str | None:
    """The name or whole number in ``column`` as text. None without a column, and where an ``optional`` one is empty."""
    if column is None:
        return None
    label = _value(values, column)
    if optional and (label is None or label == ""):
        return None
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise ValueError(f"{column!r} must hold a text or a whole number, got {label!r} ({type(label).__name__})")
    if not str(label).strip() or not _is_unicode(str(label)):
        raise ValueError(f"{column!r} must hold a name, got {label!r}")
    return str(label)


def content_id(text: str) -> str:
    """An id that depends on the text alone: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def excerpt(text: str) -> str:
    """The beginning of ``text`` in a form that every file can hold."""
    return text[:EXCERPT_CHARACTERS].encode("utf-8", "replace").decode()


def _value(values: Mapping[str, object], column: str | None) -> object:
    assert column is not None, "a required role has a column: see checked_columns"
    if column not in values:
        raise ValueError(f"no {column!r} in this record, found {', '.join(map(repr, values))}{nearest(column, values)}")
    return values[column]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
