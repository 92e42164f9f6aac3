"""Files of text as lines: unpacked, decoded, and cut at whatever ends a line there.

How a file is packed and written is seen in its first bytes, not in its name.
"""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from pipeline.corpus.place import PACKED, checked_file

HEAD_BYTES = 1 << 20  # that encoding and line ends are seen in
MOST_CHARACTERS = 1 << 26  # of a line: 64 million; beyond, the file holds no lines
# Of what a packed file may unpack to: bytes that are always right, and how many for each of its own.
PLENTY, MOST_TIMES = 1 << 23, 100
SMALL = 1 << 26  # bytes of a packed file that is unpacked twice, a second at most
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, OSError, pa.ArrowException)
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
NOT_CP1252 = re.compile(
    rb"[\x81\x8d\x8f\x90\x9d\xfe\xff]"  # undefined there, or in no language that is written in it
    rb"|[\x80-\xff]{4}"  # words of another alphabet
    rb"|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"  # a character in UTF-8
)

UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
OTHERS = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1251", "cp1250", "cp1253", "tis_620")


class Line(NamedTuple):
    number: int  # from 1, as an editor counts
    text: str
    end: str


class Text(NamedTuple):
    """A file of text: how it is encoded, and the end of its first line (empty where there is none in the head)."""

    path: Path
    encoding: str
    end: str


def opened(path: Path) -> BinaryIO:
    """The unpacked bytes of a plain file; ValueError where its name says that it is packed, and it is not."""
    with checked_file(path).open("rb") as stream:
        first = stream.read(6)
    kind = next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), None)
    if kind is None and first and path.name.lower().endswith(PACKED):
        raise ValueError(f"{path} is a damaged archive (it does not begin as one does); fetch it again, or rename it")
    match kind:
        case "gzip":
            unpacked = cast(BinaryIO, gzip.open(path, "rb"))  # noqa: SIM115  closed by whoever asked
        case "bz2":
            unpacked = cast(BinaryIO, bz2.open(path, "rb"))  # noqa: SIM115
        case "xz":
            unpacked = cast(BinaryIO, lzma.open(path, "rb"))  # noqa: SIM115
        case "zstd":
            unpacked = cast(BinaryIO, pa.input_stream(str(path), compression="zstd"))
        case _:
            return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(Unpacked(unpacked, path), buffer_size=1 << 18))


class Unpacked(io.RawIOBase):
    """What ``stream`` gives of the packed file ``path``. ValueError where it is `MOST_TIMES` the file's size and more than `PLENTY`: a few
    kilobytes can unpack to all the memory there is."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path = stream, path
        self.left = max(PLENTY, MOST_TIMES * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.stream.read(len(buffer))
        buffer[: len(content)] = content
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(
                f"{self.path} unpacks to more than {MOST_TIMES} times its size; if that is right, unpack it by hand"
            )
        return len(content)

    def close(self) -> None:
        self.stream.close()
        super().close()


def damaged(path: Path, error: Exception) -> ValueError:
    kind = "gzip file" if path.name.lower().endswith(".gz") else "file"
    return ValueError(f"{path} is a damaged {kind} ({error or type(error).__name__}); fetch it again")


def head(path: Path) -> bytes:
    """The first bytes of a file, unpacked."""
    try:
        with opened(path) as stream:
            return stream.read(HEAD_BYTES)
    except DAMAGED as error:
        raise damaged(path, error) from error


def _check_unpacked(path: Path) -> None:
    """Reads a small file once to its end, so that one which unpacks to too much is told before a million of its lines are parsed."""
    try:
        with opened(path) as stream:
            while (
                isinstance(getattr(stream, "raw", None), Unpacked) and path.stat().st_size < SMALL and stream.read(HEAD_BYTES)
            ):
                pass
    except DAMAGED as error:
        raise damaged(path, error) from error


def check_encoding(encoding: str | None) -> None:
    """ValueError for a name of none."""
    try:
        "".encode(encoding or "utf-8")
    except LookupError:
        raise ValueError(
            f"encoding must be one that Python knows, got {encoding!r}; for example utf-8, utf-16, cp1252"
        ) from None


def text_of(path: Path, encoding: str | None = None) -> Text:
    """How ``path`` is to be read. One line says so where the encoding is neither given (``encoding``) nor UTF-8."""
    first = head(path)
    _check_unpacked(path)
    check_encoding(encoding)
    told = encoding or _encoding(first, path)
    start = first.decode(told, "replace")
    match = re.search("\r\n|\n|\r", start)
    end = match[0] if match else ""
    if end == "\r" and "\n" in start:  # a carriage return within the first line
        end = "\r\n" if "\r\n" in start else "\n"
    return Text(path, told, end)


def _encoding(first: bytes, path: Path) -> str:
    for mark, name in MARKS.items():
        if first.startswith(mark):
            if name != "utf-8-sig":
                print(f"{path}: read as {name.upper()}, as its first bytes say")
            return name
    pairs = first[: 1 << 14]
    zeros = [pairs[side::2].count(0) / max(1, len(pairs) // 2) for side in (0, 1)]
    if max(zeros) > 0.4 and min(zeros) < 0.1:
        guess = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        print(f"{path}: read as {guess.upper()}: every other byte is 0; say `encoding: ` if it is another")
        return guess
    high, letters = len(re.findall(rb"[\x80-\xff]", first)), len(re.findall(rb"[A-Za-z]", first))
    if high >= 3 and letters >= 2 * high and not NOT_CP1252.search(first):
        print(
            f"{path}: no UTF-8; read as Windows-1252 (cp1252), as its {high} bytes beyond ASCII allow; say `encoding: ` to choose"
        )
        return "cp1252"
    if candidates := _candidates(first):
        print(f"{path}: neither UTF-8 nor Windows-1252; it would be text in {', '.join(candidates)}: say which by `encoding: `")
    return "utf-8"


def _candidates(first: bytes) -> list[str]:
    """Encodings in which the head of a file is text throughout, where most of what is beyond ASCII is no UTF-8."""
    beyond = len(re.findall(rb"[\x80-\xff]", first))
    known = sum(map(len, UTF8.findall(first)))
    if beyond < 3 or 2 * known >= beyond:
        return []
    found = []
    for name in OTHERS:
        try:
            text = codecs.getincrementaldecoder(name)().decode(first)  # the head may end within a character
        except UnicodeDecodeError:
            continue
        if all(char.isprintable() or char.isspace() for char in text):
            found.append(name)
    return found


def lines(text: Text, *, universal: bool) -> Iterator[Line]:
    """Lines with their ends. A byte that does not fit the encoding becomes a lone surrogate, so it costs one line and not the file.

    ``universal``: \\n, \\r\\n and \\r all end a line. Else only what ends the first one does, so a stray \\r stays where it is.
    """
    unicode = text.encoding.startswith(("utf-16", "utf-32"))
    errors = "surrogatepass" if unicode else "surrogateescape"
    newline = "" if universal else "\r" if text.end == "\r" else "\n"
    try:
        with opened(text.path) as stream:
            wrapped = io.TextIOWrapper(stream, encoding=text.encoding, errors=errors, newline=newline)
            number = 0
            while line := wrapped.readline(MOST_CHARACTERS):
                number += 1
                if len(line) == MOST_CHARACTERS and line[-1] not in "\r\n":
                    raise ValueError(
                        f"{text.path}:{number}: a line of more than {MOST_CHARACTERS:,} characters; is it a file of lines?"
                    )
                plain = line.rstrip("\r\n") if not universal or line[-1] == "\n" else line.removesuffix("\r")
                yield Line(number, plain.removeprefix("\ufeff") if number == 1 else plain, line[len(plain) :])
    except UnicodeError as error:
        raise ValueError(
            f"{text.path} is not in {text.encoding} ({error}); save it as UTF-8, or name its encoding (`encoding: cp1252`)"
        ) from error
    except DAMAGED as error:
        raise damaged(text.path, error) from error


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a file, without their ends."""
    return (line.text for line in lines(text_of(path), universal=True))
