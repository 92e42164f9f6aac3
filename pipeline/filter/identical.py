"""A query that is its own document teaches nothing. A graded pair may hold one text twice: its score says something."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numba import njit

from pipeline.corpus.records import Records, bytes_of, written_out
from pipeline.corpus.row import Row
from pipeline.corpus.verdict import Fault, Verdict


class Identical:
    """``words_only``: texts are compared by letters with their marks and digits alone, else by all but white space. Case never counts."""

    by_column = True

    def __init__(self, *, words_only: bool) -> None:
        self.words_only = words_only

    def __call__(self, rows: Sequence[Row]) -> list[Verdict]:
        table = Records.of(Row, rows)
        fault = Fault("query equals document", "")
        found: list[Verdict] = [None] * len(table)
        query, document = (written_out(table.columns[side]) for side in ("query", "document"))
        alike = _may_be_alike(*bytes_of(query), *bytes_of(document)) & table.columns["score"].is_null().to_numpy(
            zero_copy_only=False
        )
        places = np.flatnonzero(alike)
        pairs = zip(*(side.take(pa.array(places)).to_pylist() for side in (query, document)), strict=True)
        for i, (left, right) in zip(places.tolist(), pairs, strict=True):
            if self._key(left) == self._key(right):
                found[i] = fault
        return found

    def _key(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text).lower()
        letters = "".join(c for c in text if c.isalnum() or unicodedata.category(c)[0] == "M") if self.words_only else ""
        return letters or "".join(text.split())  # of a text without a letter all counts


@njit(cache=True)
def _next(data, at, end):  # pyright: ignore
    """(where the next letter or digit of ASCII stands, or the next byte beyond ASCII, or ``end``)."""
    while at < end:
        byte = data[at]
        if byte >= 128 or 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122:
            break
        at += 1
    return at


@njit(cache=True)
def _may_be_alike(left, left_starts, right, right_starts):  # pyright: ignore
    """Where two texts are not told apart by their letters and digits up to the first character beyond ASCII.

    The one before that character is not looked at, for a mark may change it.
    """
    found = np.ones(len(left_starts) - 1, np.bool_)
    for text in range(len(found)):
        i, j = left_starts[text], right_starts[text]
        i_end, j_end = left_starts[text + 1], right_starts[text + 1]
        while True:
            i, j = _next(left, i, i_end), _next(right, j, j_end)
            beyond = (i < i_end and left[i] >= 128) or (j < j_end and right[j] >= 128)
            marked = (i + 1 < i_end and left[i + 1] >= 128) or (j + 1 < j_end and right[j + 1] >= 128)
            if beyond or marked or (i == i_end and j == j_end):
                break
            if i == i_end or j == j_end or (left[i] | 32) != (right[j] | 32):
                found[text] = False
                break
            i, j = i + 1, j + 1
    return found
