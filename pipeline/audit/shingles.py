"""The audit's own shingles: words found by a table of bytes, runs of them numbered, never hashed; a sparse row for each text."""

import re
import unicodedata
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int, UInt
from numba import njit
from scipy.sparse import csr_array

from pipeline.corpus.records import bytes_of, compute

PLAIN = re.compile(r"[a-z0-9]+")
WITHOUT_BLANKS = re.compile(  # how Unicode's names of letters begin in scripts whose words no blank parts
    "CJK |IDEOGRAPHIC |HANGZHOU |VERTICAL KANA |VERTICAL IDEO|MASU |HIRAGANA |KATAKANA|HALFWIDTH KATAKANA|HENTAIGANA |BOPOMOFO |"
    "YI |THAI |LAO |KHMER |MYANMAR |TAI |NEW TAI |JAVANESE |BALINESE "
)
BITS = 62  # that a number of several units may take
SIGNS = np.zeros(256, np.uint8)  # of each byte of UTF-8 the one it counts as, 0 where it parts words
for _byte in range(256):
    _letter = chr(_byte).lower() if _byte < 128 else ""
    SIGNS[_byte] = _byte if _byte >= 128 else ord(_letter) if _letter.isalnum() else 0


class Shingles:
    """The shingles of evaluation ``texts``: ``known`` holds a row for each text with a 1 for each, ``sizes`` their numbers. `of` gives the
    same of other texts, in the same columns; what has no column there is counted alone.

    A shingle is ``size`` units in a row; a shorter text, filled up with 0, is one. Numbers of units stand side by side in 62 bits; where
    these do not suffice, what has been put together so far is numbered anew, in the order in which it came.
    """

    def __init__(self, unit: Literal["word", "character"], size: int, texts: pa.Array) -> None:
        self.unit = unit
        self.size = size
        self.steps: dict[int, pd.Index] = {}
        units, starts = self._units(texts)
        self.vocabulary = compute.unique(units)
        codes, starts = _filled_up(compute.index_in(units, self.vocabulary).to_numpy() + 1, starts, size)
        self.bits = len(self.vocabulary).bit_length()
        first, text = _beginnings(starts, size)
        keys = self._keys(codes, first, learn=True)
        self.columns = pd.Index(pd.unique(keys))
        self.known = _matrix(text, self.columns.get_indexer(keys), len(texts), len(self.columns))
        self.sizes = np.diff(self.known.indptr).astype(np.float64)

    def of(self, texts: pa.Array) -> tuple[csr_array, Int[np.ndarray, " T"]]:
        """(a row for each of ``texts``, how many different shingles each has)."""
        units, starts = self._units(texts)
        own: Any = units.dictionary_encode()
        known = compute.fill_null(compute.index_in(own.dictionary, self.vocabulary), -1).to_numpy() + 1
        local, filled = _filled_up(own.indices.to_numpy().astype(np.int64) + 1, starts, self.size)
        first, text = _beginnings(filled, self.size)
        sizes = _different(
            _folded(local, first, self.size, len(own.dictionary).bit_length(), _renumbered),
            np.searchsorted(text, np.arange(len(texts) + 1)),
        )
        codes = np.concatenate([[0], np.where(known > 0, known, -1)])[local]
        asked = np.flatnonzero(_all_known(codes, first, self.size))
        columns = self.columns.get_indexer(self._keys(codes, first[asked], learn=False))
        found = columns >= 0
        return _matrix(text[asked][found], columns[found], len(texts), len(self.columns)), sizes

    def _units(self, texts: pa.Array) -> tuple[pa.Array, Int[np.ndarray, " T+1"]]:
        """The units of all texts, one text behind the other, and where each text begins."""
        if self.unit == "character":
            joined = [" ".join(_runs(text)) for text in texts.to_pylist()]
            codes = np.frombuffer("".join(joined).encode("utf-32-le"), np.uint32).astype(np.int64)
            return pa.array(codes), np.cumsum([0, *map(len, joined)])
        strange = compute.invert(compute.string_is_ascii(texts))
        words = pa.array([" ".join(_words(text)) for text in texts.filter(strange).to_pylist()], texts.type)
        texts = compute.replace_with_mask(texts, strange, words)
        data, starts = bytes_of(texts)
        return _parted(SIGNS[data[starts[0] : starts[-1]]], starts - starts[0])

    def _keys(self, codes: Int[np.ndarray, " U"], first: Int[np.ndarray, " S"], *, learn: bool) -> Int[np.ndarray, " S"]:
        """A number for each shingle; -1 for one that holds what is not known. ``learn``: what is not known becomes so."""

        def numbered(step: int, keys: Int[np.ndarray, " S"]) -> Int[np.ndarray, " S"]:
            if learn:
                self.steps[step] = pd.Index(pd.unique(keys))
            return self.steps[step].get_indexer(keys)

        return _folded(codes, first, self.size, self.bits, numbered)


def _parted(signs: UInt[np.ndarray, " D"], starts: Int[np.ndarray, " T+1"]) -> tuple[pa.Array, Int[np.ndarray, " T+1"]]:
    """Runs of bytes that are not 0, within texts that begin at ``starts``: (the words, where the words of each text begin)."""
    inside = signs > 0
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    at = starts[:-1][starts[:-1] < len(signs)]
    begins[at] = inside[at]
    ends = inside.copy()
    ends[:-1] &= ~inside[1:] | begins[1:]
    places = np.flatnonzero(begins)
    offsets = np.concatenate([[0], np.cumsum(np.flatnonzero(ends) + 1 - places)])
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(signs[inside])]
    return pa.Array.from_buffers(pa.large_string(), len(places), buffers), np.searchsorted(places, starts)


def _filled_up(
    codes: Int[np.ndarray, " U"], starts: Int[np.ndarray, " T+1"], size: int
) -> tuple[Int[np.ndarray, " V"], Int[np.ndarray, " T+1"]]:
    """Each text that has units, with zeros behind them where they are fewer than ``size``."""
    lengths = np.diff(starts)
    wanted = np.where(lengths > 0, np.maximum(lengths, size), 0)
    if (wanted == lengths).all():
        return codes.astype(np.int64), starts.astype(np.int64)
    filled = np.concatenate([[0], np.cumsum(wanted)])
    found = np.zeros(filled[-1], np.int64)
    found[np.arange(len(codes)) + np.repeat(filled[:-1] - starts[:-1], lengths)] = codes
    return found, filled


def _beginnings(starts: Int[np.ndarray, " T+1"], size: int) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " S"]]:
    """(where each shingle begins, whose text it is)."""
    lengths = np.diff(starts)
    text = np.repeat(np.arange(len(lengths)), lengths)
    first = np.flatnonzero(np.arange(starts[-1]) + size <= starts[1:][text]) if len(text) else np.zeros(0, np.int64)
    return first, text[first]


def _folded(
    codes: Int[np.ndarray, " U"], first: Int[np.ndarray, " S"], size: int, bits: int, numbered: Any
) -> Int[np.ndarray, " S"]:
    """The ``size`` codes from each of ``first`` on as one number; ``numbered(step, keys)`` makes smaller ones where they grow too large."""
    keys, used = codes[first], bits
    for step in range(1, size):
        if used + bits > BITS:
            keys, used = numbered(step, keys), 31
        keys, used = np.where(keys < 0, -1, keys << bits | codes[first + step]), used + bits
    return keys


def _renumbered(step: int, keys: Int[np.ndarray, " S"]) -> Int[np.ndarray, " S"]:
    return pd.factorize(keys)[0]


def _all_known(codes: Int[np.ndarray, " U"], first: Int[np.ndarray, " S"], size: int) -> Any:
    """Whether none of the units of a shingle is -1."""
    strange = np.concatenate([[0], np.cumsum(codes < 0)])
    return strange[first + size] == strange[first]


def _matrix(text: Int[np.ndarray, " S"], column: Int[np.ndarray, " S"], rows: int, columns: int) -> csr_array:
    """A row a text, 1 for each of its columns."""
    found = csr_array((np.ones(len(text)), (text, column)), shape=(rows, max(1, columns)))
    found.sum_duplicates()
    found.data[:] = 1
    return found


@njit(nogil=True, cache=True)
def _different(keys, starts):  # pyright: ignore
    """How many different ones of ``keys`` stand between each two ``starts``."""
    found = np.zeros(len(starts) - 1, np.int64)
    for text in range(len(found)):
        own = np.sort(keys[starts[text] : starts[text + 1]])
        for i in range(len(own)):
            if i == 0 or own[i] != own[i - 1]:
                found[text] += 1
    return found


def _runs(text: str) -> list[str]:
    """Runs of letters, digits and marks, in lower case."""
    text = unicodedata.normalize("NFC", text)
    if text.isascii():
        return PLAIN.findall(text.lower())
    return text.translate(_LETTERS).split()


class _Letters(dict[int, str]):
    """For each code point what it counts as in a run, filled as they are met: its lower case, where that is one letter, or a blank."""

    def __missing__(self, code: int) -> str:
        letter = chr(code).lower() if len(chr(code).lower()) == 1 else chr(code)
        self[code] = letter if unicodedata.category(letter)[0] in "LNM" else " "
        return self[code]


_LETTERS = _Letters()


def _words(text: str) -> list[str]:
    """`_runs`, but in a script without blanks each letter with its marks."""
    runs = _runs(text)
    if not any(_alone(character) for character in set(text) if character > "\x7f"):
        return runs
    found: list[str] = []
    for run in runs:
        if run.isascii():
            found.append(run)
            continue
        words, alone = [""], False
        for character in run:
            if unicodedata.category(character)[0] != "M" or not words[-1]:
                before, alone = alone, _alone(character)
                words += [""] if before or alone else []
            words[-1] += character
        found += [word for word in words if word]
    return found


@cache
def _alone(character: str) -> bool:
    return unicodedata.category(character) in ("Lo", "Lm", "Nl") and bool(WITHOUT_BLANKS.match(unicodedata.name(character, "")))
