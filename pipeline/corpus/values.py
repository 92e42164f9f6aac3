"""Values of a record: texts, numbers and names by column, or by a path into what a column holds ("answer.text")."""

import ast
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pipeline.corpus.cells import is_unicode, matching
from pipeline.corpus.row import filled
from pipeline.spelling import nearest

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


def value_at(values: Mapping[str, object], column: str | None) -> object:
    """What stands in ``column``, or below it where the name is a path. Of a list of records the path gives a list."""
    assert column is not None, "a required role has a column: see checked_columns"
    if column in values:
        return values[column]
    at: object = values
    for part in column.split("."):
        if at is None:
            return None
        at = _below(at, part, column, values)
    return at


def _below(at: object, part: str, column: str, values: Mapping[str, object]) -> object:
    if isinstance(at, Mapping) and part in at:
        return at[part]
    if isinstance(at, list) and part.isdigit() and int(part) < len(at):
        return at[int(part)]
    if isinstance(at, list) and all(isinstance(one, Mapping) and part in one for one in at):
        return [one[part] for one in at]
    raise ValueError(f"no {column!r} in this record, found {', '.join(map(repr, values))}{nearest(column, values)}")


def has(values: Mapping[str, object], column: str) -> bool:
    """Whether a record knows the column: its name, the first part of a path, or one of "name_*"."""
    return bool(matching(values, column)) or column.split(".")[0] in values


def text_in(values: Mapping[str, object], column: str | None) -> str:
    """The text in ``column``, as it is written there."""
    return _text(value_at(values, column), column)


def _text(text: object, column: str | None) -> str:
    if isinstance(text, list):
        raise ValueError(
            f"{column!r} must hold a text, got {_short(text)} (list); one text is meant here: name it as {column}.0"
        )
    if isinstance(text, Mapping):
        raise ValueError(
            f"{column!r} must hold a text, got a record of {', '.join(text)}; name one of them, as {column}.{min(text)}"
        )
    if not isinstance(text, str):
        raise ValueError(f"{column!r} must hold a text, got {_short(text)} ({type(text).__name__})")
    if not is_unicode(text):
        raise ValueError(f"{column!r} holds half of a surrogate pair, which is no character")
    return text


def texts_in(values: Mapping[str, object], columns: Sequence[str]) -> list[str | None]:
    """The texts of some columns, each of which may hold one or a list; None where one is absent (null or empty).

    A name that ends in "*" stands for all columns that begin so, in the order of their numbers.
    """
    found: list[str | None] = []
    for name in columns:
        names = matching(values, name) or ([] if name.endswith("*") else [name])
        for column in names:
            value = value_at(values, column)
            if isinstance(value, str):
                _check_not_a_list(value, column)
            several = value if isinstance(value, list) else [value]
            found += [
                None if one is None or (isinstance(one, str) and not filled(one)) else _text(one, column) for one in several
            ]
    return found


def _check_not_a_list(text: str, column: str) -> None:
    """ValueError where a text is a list that a table of texts could not hold, written as Python or JSON writes it."""
    if not (text.startswith("[") and text.endswith("]")):
        return
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            raise ValueError(
                f"{column!r} holds a list that was written as a text, {_short(text)}; keep it as JSON lines or Parquet, or in "
                f"columns of its own ({column}_1, {column}_2, named {column}_*)"
            )


def score_in(values: Mapping[str, object], column: str | None) -> float | None:
    """The number in ``column``; a number written as text counts, true and false do not. None without a column."""
    return None if column is None else number(value_at(values, column), column)


def number(value: object, column: str) -> float:
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        try:
            if not isinstance(value, str) or NUMBER.fullmatch(value.strip()):
                return float(value)
        except (ValueError, OverflowError):
            pass
    comma = "; write a point for the comma" if isinstance(value, str) and re.fullmatch(r"-?\d+,\d+", value.strip()) else ""
    raise ValueError(f"{column!r} must hold a number, got {_short(value)} ({type(value).__name__}){comma}")


def label_in(values: Mapping[str, object], column: str | None, *, optional: bool = False) -> str | None:
    """The name or whole number in ``column`` as text. None without a column, and where an ``optional`` one is empty."""
    if column is None:
        return None
    value = value_at(values, column)
    return None if optional and (value is None or value == "") else label(value, column)


def label(value: object, column: str) -> str:
    """A text as it is spelled; a number that is whole without its ".0", which a gap in a column of whole numbers brings in."""
    if isinstance(value, float | Decimal) and value == value and abs(value) < 2**53 and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{column!r} must hold a text or a whole number, got {_short(value)} ({type(value).__name__})")
    if not str(value).strip() or not is_unicode(str(value)):
        raise ValueError(f"{column!r} must hold a name, got {value!r}")
    return str(value)


def labels_in(values: Mapping[str, object], columns: Sequence[str]) -> list[str | None]:
    """Names in columns of which each may hold one or a list; None where one is absent."""
    found: list[str | None] = []
    for column in (one for name in columns for one in matching(values, name) or ([] if name.endswith("*") else [name])):
        value = value_at(values, column)
        found += [
            None if one is None or one == "" else label(one, column) for one in (value if isinstance(value, list) else [value])
        ]
    return found


def content_id(text: str) -> str:
    """An id that depends on the text alone: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _short(value: object) -> str:
    """Enough of a value to know it by."""
    told = repr(value)
    return told if len(told) <= 100 else f"{told[:100]}…"
