"""Reading files that people made: their records, whatever their format, which is seen in the content.

Two kinds of fault are told apart. What spoils a whole file (not there, a column missing from the header, a damaged
archive) is a ValueError: somebody must act. What spoils one record (bad JSON, a broken byte, an empty text) is a
`Rejected`, and reading goes on.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.corpus.cells import Cells, Needed, Tally
from pipeline.corpus.columns import arrow, parquet, records
from pipeline.corpus.delimited import quoted, unquoted
from pipeline.corpus.json_records import json_records
from pipeline.corpus.lines import head, text_of
from pipeline.corpus.place import PACKED, SUFFIXES, TEXT, found, suffix, unpacked
from pipeline.corpus.row import Rejected
from pipeline.corpus.workbook import workbook

BINARY = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"\xff\xff\xff\xff": ".arrow", b"PK\x03\x04": ".xlsx"}
JSON = re.compile(r'\{\s*"|\[\s*\{')  # how a table of JSON begins, and no header does
OLD_EXCEL = b"\xd0\xcf\x11\xe0"


def read_cells(
    path: Path,
    *,
    file: str,
    needed: Needed,
    delimiter: str | None,
    quoting: bool,
    also: Needed = (),
    encoding: str | None = None,
    sheet: str | None = None,
    tally: Tally | None = None,
) -> Iterator[Cells | Rejected]:
    """The records of one file, in its order, counted in ``tally``. ``delimiter`` None: a comma for .csv, a tab for .tsv.

    ``also``: columns that are read where they are there. ``encoding`` None: as the file's first bytes look; ``sheet`` None: the first.
    """
    kind = checked_kind(path)
    found_records: Iterator[Cells | Rejected]
    match kind:
        case ".parquet":
            found_records = records(file, parquet(path, needed, also))
        case ".arrow":
            found_records = records(file, arrow(path, needed, also))
        case ".xlsx":
            found_records = workbook(path, file, needed, also, sheet)
        case _:
            text = text_of(path, encoding)
            start = head(path)[:4096].decode(text.encoding, "replace").lstrip("\ufeff \t\r\n")
            ending = suffix(path)
            if ending in (".jsonl", ".ndjson", ".json") or JSON.match(start):
                found_records = json_records(text, file, needed)
            else:
                cut = delimiter or {".csv": ",", ".tsv": "\t"}[ending]
                found_records = (quoted if quoting else unquoted)(text, file, needed, cut)
    return (tally or Tally()).counted(file, found_records)


def checked_kind(path: Path) -> str | None:
    """The ending of a file that is not text, as its first bytes tell it; None for text. ValueError where its name says something else."""
    ending = suffix(path)
    if ending not in SUFFIXES:
        raise ValueError(
            f"expected a file ending in {', '.join(SUFFIXES)} (text also {', '.join(PACKED)}), got {path} ({ending!r}); rename it"
        )
    first = head(found(path))
    kind = next((kind for magic, kind in BINARY.items() if first.startswith(magic)), None)
    if first.startswith(OLD_EXCEL):
        raise ValueError(f"{path} is a workbook of Excel before 2007; save it as .xlsx or CSV")
    if kind and unpacked(path.name) != path.name:
        raise ValueError(f"{path} is a packed {kind} file, which is packed by itself; unpack it")
    if kind is None and ending not in TEXT:
        raise ValueError(f"{path} is a damaged {ending} file (it does not begin as one does); fetch it again, or rename it")
    return kind
