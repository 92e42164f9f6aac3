"""CSV and TSV: records whose fields a character parts.

A quote that is never closed, or closed by the next one that happens to stand at the end of a field, would make one record of many lines.
Such a record is found by what is in it: text behind a closing quote, the end of the file, or lines that are whole records themselves. It
costs its first line; reading goes on at the next line that can begin a record.

Source: RFC 4180, sections 2.5 to 2.7.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.corpus.cells import Cells, Needed, checked_header, excerpt, is_unicode
from pipeline.corpus.lines import MOST_CHARACTERS, Line, Text, lines
from pipeline.corpus.row import Rejected

OTHERS = (",", ";", "\t", "|")
ADVICE = "double the quotes inside a quoted field, or take quotes as they are (quoting: false)"


def unquoted(text: Text, file: str, needed: Needed, delimiter: str) -> Iterator[Cells | Rejected]:
    """Cut at every delimiter: a quote is a plain character, and a record is always one line."""
    rows = lines(text, universal=False)
    header = next((line.text for line in rows), "").split(delimiter)
    _check(text.path, header, needed, delimiter)
    for line in rows:
        if line.text:
            yield _cells(file, line.number, header, line.text.split(delimiter), 1, len(line.text))


def quoted(text: Text, file: str, needed: Needed, delimiter: str) -> Iterator[Cells | Rejected]:
    """A field in quotes may hold the delimiter and line ends; an end like that of the first line is read as \\n, others stay.

    ``line`` is the first line of the record.
    """
    reader = _Reader(text, delimiter)
    try:
        _, header = reader.record()
    except StopIteration:
        header = []
    except ValueError as error:
        raise ValueError(f"{text.path}:1: the header cannot be read: {error}; {ADVICE}") from error
    _check(text.path, header, needed, delimiter)
    reader.width = len(header)
    broken = 0  # line of the record that could not be read, while nothing behind it looks like the next one
    while (line := reader.peek()) is not None:
        if not line.text or (broken and not reader.begins(line.text)):
            reader.take()
            if line.text:
                reason = f"belongs to the record of line {broken}, which is not valid CSV"
                yield Rejected(file, line.number, reason, excerpt(line.text), 1, len(line.text))
            continue
        try:
            spanned, fields = reader.record()
        except ValueError as error:
            broken = line.number
            yield Rejected(file, line.number, f"not valid CSV: {error}; {ADVICE}", excerpt(line.text), 1, len(line.text))
            continue
        broken = 0
        yield _cells(file, line.number, header, fields, len(spanned), sum(len(one.text) for one in spanned))


class _Reader:
    """Records out of lines, which can be put back. ``width``: fields of a record, once the header told it."""

    def __init__(self, text: Text, delimiter: str) -> None:
        self.lines = lines(text, universal=True)
        self.back: deque[Line] = deque()
        self.own_end = text.end
        self.delimiter = delimiter
        self.width = 0
        self.tight = self.loose = 0  # records of one line without quotes: with no blank behind a delimiter, and with one

    def peek(self) -> Line | None:
        if not self.back:
            line = next(self.lines, None)
            if line is None:
                return None
            self.back.append(line)
        return self.back[0]

    def take(self) -> Line | None:
        line = self.peek()
        if line is not None:
            self.back.popleft()
        return line

    def record(self) -> tuple[list[Line], list[str]]:
        """The next record and its lines. StopIteration at the end; ValueError where it is none, and only its first line is taken."""
        first = self.take()
        if first is None:
            raise StopIteration
        if '"' not in first.text:
            fields = first.text.split(self.delimiter)
            if len(fields) == self.width:
                self.loose += (loose := self.delimiter + " " in first.text)
                self.tight += not loose
            return [first], fields
        spanned, fields, size = [first], [], len(first.text)
        try:
            part = _scan(first.text, self.delimiter, fields, None)
            while part is not None:
                line = self.take()
                if line is None or size > MOST_CHARACTERS:
                    raise ValueError(f"a quote opens in field {len(fields) + 1} and is not closed (is a quote left open?)")
                part.append("\n" if spanned[-1].end == self.own_end else spanned[-1].end)
                spanned.append(line)
                size += len(line.text)
                part = _scan(line.text, self.delimiter, fields, part)
            if self.swallowed(spanned):
                raise ValueError(
                    f"a quote opens and is closed only in line {spanned[-1].number}, with whole records between (is a quote left open?)"
                )
        except ValueError as error:
            self.back.extendleft(reversed(spanned[1:]))
            where = f" (in line {spanned[-1].number})" if len(spanned) > 1 and "left open" not in str(error) else ""
            raise ValueError(f"{error}{where}") from None
        return spanned, fields

    def alike(self, text: str) -> bool:
        """Whether a line is a whole record, its quotes taken as they are. A comma of prose has a blank behind it, as few records do."""
        prose = self.delimiter + " " in text and self.loose <= self.tight
        return text.count(self.delimiter) == self.width - 1 and not prose

    def swallowed(self, spanned: Sequence[Line]) -> bool:
        """Whether half of the lines behind the first one are whole records. A tab is in no prose, so one such line is enough there; else a
        single line is not enough if it may be prose: "1,000 people"."""
        behind = [line.text.replace('""', "").split('"')[0] for line in spanned[1:]]  # what stands within the quotes
        count = sum(map(self.alike, behind))
        if self.width < 2 or not count:
            return False
        if len(behind) == 1 and self.delimiter != "\t":
            number = re.search(rf"\d{re.escape(self.delimiter)}\d", behind[0])
            return number is None and spanned[0].text.count(self.delimiter) == self.width - 1
        return self.delimiter == "\t" or 2 * count >= len(behind)

    def begins(self, text: str) -> bool:
        """Whether a record may begin with this line: it is a whole one, or it has a field in quotes that goes on."""
        fields: list[str] = []
        try:
            part = _scan(text, self.delimiter, fields, None)
        except ValueError:
            return False
        if part is not None:
            return len(fields) < self.width and (bool(fields) or text.startswith('"'))
        plain = re.sub('"(?:[^"]|"")*"', "", text)
        return len(fields) == self.width and not (self.delimiter + " " in plain and self.loose <= self.tight)


def _scan(text: str, delimiter: str, fields: list[str], part: list[str] | None) -> list[str] | None:
    """Put the fields of a line behind ``fields``; ``part``: of a field in quotes, what stands in the lines before.

    Returned are the parts of a field that the end of the line does not close, or None.
    """
    at, end = 0, len(text)
    while True:
        inside = part is not None
        if inside or text.startswith('"', at):
            part = part or []
            at += not inside
            begin = at
            while (close := text.find('"', at)) >= 0 and text.startswith('"', close + 1):
                at = close + 2
            if close < 0:
                part.append(text[begin:].replace('""', '"'))
                return part
            fields.append("".join([*part, text[begin:close].replace('""', '"')]))
            part, at = None, close + 1
            if at == end:
                return None
            if text[at] != delimiter:
                raise ValueError(f"{text[at]!r} stands behind the quote that closes field {len(fields)}")
        else:
            stop = text.find(delimiter, at)
            if stop < 0:
                fields.append(text[at:])
                return None
            fields.append(text[at:stop])
            at = stop
        at += 1


def _cells(file: str, line: int, header: Sequence[str], fields: Sequence[str], num_lines: int, size: int) -> Cells | Rejected:
    told = excerpt(" | ".join(fields))
    if len(fields) != len(header):
        return Rejected(file, line, f"expected {len(header)} fields as in the header, got {len(fields)}", told, num_lines, size)
    if not all(map(is_unicode, fields)):
        return Rejected(file, line, "not valid UTF-8", told, num_lines, size)
    return Cells(file, line, dict(zip(header, fields, strict=True)), num_lines, size)


def _check(path: Path, header: list[str], needed: Needed, delimiter: str) -> None:
    other = next((mark for mark in OTHERS if len(header) == 1 and mark != delimiter and mark in header[0]), None)
    hint = f"; its header looks parted by {other!r}: set delimiter" if other else ""
    checked_header(path, header, needed, hint=hint)
