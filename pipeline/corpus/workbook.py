"""Excel workbooks: one sheet, its first row the header."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from pipeline.corpus.cells import Cells, Needed, characters, checked_header, matching
from pipeline.corpus.lines import MOST_TIMES, PLENTY
from pipeline.corpus.row import Rejected
from pipeline.spelling import nearest

FAULTS = (InvalidFileException, zipfile.BadZipFile, zlib.error, ParseError, KeyError, OSError, EOFError)
ERRORS = ("#N/A", "#REF!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#VALUE!")  # what a formula that failed leaves in its cell


def workbook(path: Path, file: str, needed: Needed, also: Needed, sheet: str | None) -> Iterator[Cells | Rejected]:
    """``line`` is the row of the sheet. An empty cell is an empty text; a column without a name is not looked at.

    ``sheet``: its name; None: the first one, and one line names the others.
    """
    _check_sizes(path)
    with path.open("rb") as content:  # a path would be refused where its name does not end like that of a workbook
        try:
            book = openpyxl.load_workbook(content, read_only=True, data_only=True)
        except (*FAULTS, ValueError, AttributeError, TypeError) as error:  # openpyxl looks at little before it goes on
            raise ValueError(f"{path} is a damaged workbook ({error}); fetch it again, or save it as .xlsx") from error
        try:
            yield from _records(book, path, file, needed, also, sheet)
        finally:
            book.close()


def _check_sizes(path: Path) -> None:
    """ValueError where the archive unpacks to more than any sheet needs: its table of texts is read whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (*FAULTS, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is a damaged workbook ({error}); fetch it again, or save it as .xlsx") from error
    if size > max(PLENTY, MOST_TIMES * path.stat().st_size):
        raise ValueError(f"{path} unpacks to {size:,} bytes, more than {MOST_TIMES} times its size; save the sheet as CSV")


def _records(book: Any, path: Path, file: str, needed: Needed, also: Needed, sheet: str | None) -> Iterator[Cells | Rejected]:
    titles = [one.title for one in book.worksheets]
    if not titles or (sheet is not None and sheet not in titles):
        wanted = "a sheet with cells" if sheet is None else f"a sheet {sheet!r}"
        raise ValueError(
            f"{path}: expected {wanted}, found {', '.join(map(repr, titles)) or 'none'}{nearest(str(sheet), titles)}; name one of them as "
            f"sheet, or save the workbook again"
        )
    chosen = sheet or titles[0]
    others = [title for title in titles if title != chosen]
    if others and sheet is None:
        print(f"{path}: sheet {chosen!r} is read; not read: {', '.join(map(repr, others))}; say `sheet: ` to choose another")
    rows = _rows(book[chosen], path)
    names = [None if name is None or not str(name).strip() else str(name) for name in next(rows, ())]
    header = [name for name in names if name is not None]
    hint = f" (sheet {chosen!r}; others: {', '.join(map(repr, others))}; say sheet)" if others else ""
    checked = checked_header(path, header, needed, hint=hint)
    asked = {*checked, *(name for one in also for option in _options(one) for name in matching(header, option))}
    for line, values in enumerate(rows, start=2):
        record = {
            name: "" if value is None else value
            for name, value in zip(names, [*values, *[None] * len(names)], strict=False)
            if name is not None and name in asked
        }
        if not any(value != "" for value in record.values()):
            if any(value is not None for value in values):
                yield Rejected(file, line, "all columns that are read are empty in this row")
            continue
        if faulty := [name for name, value in record.items() if value in ERRORS]:
            yield Rejected(
                file, line, f"{faulty[0]!r} holds the error {record[faulty[0]]}; mend its formula", str(record)[:200]
            )
            continue
        yield Cells(file, line, record, 1, characters(record))


def _options(one: str | tuple[str, ...]) -> tuple[str, ...]:
    return (one,) if isinstance(one, str) else one


def _rows(sheet: Any, path: Path) -> Iterator[Sequence[object]]:
    try:
        getattr(
            sheet, "reset_dimensions", lambda: None
        )()  # some programs write a wrong one, and cells beyond it would be left out
        yield from sheet.iter_rows(values_only=True)
    except (*FAULTS, ValueError) as error:
        raise ValueError(f"{path} is a damaged workbook ({error}); fetch it again, or save it as .xlsx") from error
