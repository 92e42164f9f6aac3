"""Records before they are rows, what they weigh in the budget of rejected ones, and the check of a header."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pipeline.corpus.row import Rejected
from pipeline.spelling import nearest

EXCERPT_CHARACTERS = 200  # of a rejected record; enough to find it in the file, not a second copy of it
Needed: TypeAlias = Sequence[str | tuple[str, ...]]  # a column; "name_*" for all that begin so; a tuple for any one of several


class Cells(NamedTuple):
    """One input record before it is a row: where it stood (line from 1), its values by column, its lines and characters."""

    file: str
    line: int
    values: Mapping[str, object]
    lines: int = 1
    size: int = 0


@dataclass
class Tally:
    """Lines and characters read of files of one kind (``name``, empty where there is one kind only)."""

    name: str = ""
    records: int = 0
    lines: int = 0
    size: int = 0
    files: set[str] = field(default_factory=set)

    def counted(self, file: str, records: Iterable[Cells | Rejected]) -> Iterator[Cells | Rejected]:
        self.files.add(file)
        for record in records:
            self.add(file, record.lines, record.size)
            yield record

    def add(self, file: str, lines: int, size: int, records: int = 1) -> None:
        self.files.add(file)
        self.records += records
        self.lines += lines
        self.size += size


def refused(cells: Cells, reason: str) -> Rejected:
    """``cells`` as a record that is no row."""
    return Rejected(cells.file, cells.line, reason, excerpt(str(dict(cells.values))), cells.lines, cells.size)


def excerpt(text: str) -> str:
    """The beginning of ``text`` in a form that every file can hold."""
    return text[:EXCERPT_CHARACTERS].encode("utf-8", "replace").decode()


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def characters(values: Mapping[str, object]) -> int:
    """Characters of the texts in a record that stands on no line of its own."""
    return sum(len(value) for value in values.values() if isinstance(value, str))


def checked_header(path: Path, header: Sequence[str], needed: Needed, *, nested: bool = False, hint: str = "") -> list[str]:
    """The columns of ``header`` that ``needed`` asks for; ValueError where one is missing or stands twice.

    ``nested``: "answer.text" may also be found as field "text" of column "answer". ``hint`` ends the message.
    """
    found: list[str] = []
    for asked in needed:
        options = (asked,) if isinstance(asked, str) else asked
        names = [name for option in options for name in matching(header, option)]
        if not names and nested:
            names = [option.split(".")[0] for option in options if option.split(".")[0] in header]
        if not names:
            raise ValueError(
                f"{path}: expected a column {options[0]!r}, found {_listed(header)}"
                f"{nearest(options[0], header)}; name the right one under columns{hint}"
            )
        found += names[:1] if not options[0].endswith("*") else names
    for column in found:
        if header.count(column) > 1:
            raise ValueError(f"{path}: column {column!r} stands {header.count(column)} times in the header; rename all but one")
    return list(dict.fromkeys(found))


def _listed(header: Sequence[str]) -> str:
    """The names, the first hundred of them, and of each what one line of a screen holds."""
    told = ", ".join(repr(name if len(name) <= 80 else f"{name[:80]}…") for name in header[:100])
    return (told or "none") + (f" and {len(header) - 100} more" if len(header) > 100 else "")


def matching(names: Iterable[str], column: str) -> list[str]:
    """``column`` where it is one of ``names``; of "negative_*" all that begin so, by their number."""
    if column in (names := list(names)) or not column.endswith("*"):
        return [column] if column in names else []
    begin = column[:-1]
    found = [(name[len(begin) :], name) for name in names if name.startswith(begin) and name != begin]
    # Numbers by their value: negative_2 before negative_10.
    return [name for _, name in sorted(dict.fromkeys(found), key=lambda one: (int(one[0]) if one[0].isdecimal() else -1, one))]
