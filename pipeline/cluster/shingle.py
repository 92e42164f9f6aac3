"""Texts as sets of hashed shingles, compiled: the words of a text, lower-cased, in overlapping runs.

A word is a run of letters, digits and marks (Unicode); all else only parts words. In a script without blanks (`pipeline.corpus.script`)
each letter with its marks is a word. A shingle is ``size`` words in a row, or ``size`` characters in a row of the runs joined by blanks.
A shorter text is one shingle; a text without a word has none.

A shingle is known by a 64-bit hash. Among n different shingles two share a hash with a chance of at most n^2 / 2^65, if hashes
fall evenly: 3 in a million for 10 million shingles. Such a pair would count as one shingle, and change similarities by one part in
their union; nothing else depends on the hash.
"""

import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int, UInt
from numba import njit

from pipeline.corpus.script import letters, marks

Unit: TypeAlias = Literal["word", "character"]
CHUNK_TEXTS = 25_000  # handed to a worker at a time

FIRST_MARK = 0x300  # below it every letter is one of a run
RUN, MARK, ALONE = 0, 1, 2  # how a letter stands in words: among others, with the letter before it, by itself

_START = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


class Shingled(NamedTuple):
    """Hashes of text ``i``: ``hashes[starts[i]:starts[i + 1]]``, ascending, none twice."""

    hashes: UInt[np.ndarray, " S"]
    starts: Int[np.ndarray, " T+1"]


def shingled(texts: Sequence[str] | pa.Array | pa.ChunkedArray, *, unit: Unit, size: int, workers: int) -> Shingled:
    """The shingles of every text; equal texts have equal ones, whatever ``workers`` is."""
    array = as_strings(texts)
    table, stands = _letters(), _stands()
    jobs = [array.slice(first, CHUNK_TEXTS) for first in range(0, len(array), CHUNK_TEXTS)]

    def one(job: Any) -> tuple[UInt[np.ndarray, " S"], Int[np.ndarray, " T"]]:
        data, offsets = _bytes_of(_composed(job))
        return _shingle_texts(data, offsets, table, stands, unit == "character", size)

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(one, jobs))
    return joined([Shingled(hashes, np.concatenate([[0], np.cumsum(counts)])) for hashes, counts in parts])


def joined(parts: Sequence[Shingled]) -> Shingled:
    """The texts of all parts, one part behind the other."""
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.zeros(1, np.int64), *(np.diff(starts) for _, starts in parts)])
    return Shingled(np.concatenate([np.zeros(0, np.uint64), *(hashes for hashes, _ in parts)]), np.cumsum(counts))


def as_strings(texts: Sequence[str] | pa.Array | pa.ChunkedArray) -> pa.Array:
    """One Arrow array of strings with wide offsets."""
    array: Any = texts if isinstance(texts, pa.Array | pa.ChunkedArray) else pa.array(texts, pa.large_string())
    array = array.cast(pa.large_string())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _composed(array: Any) -> Any:
    """``array`` in form NFC."""
    plain = pc.all(pc.string_is_ascii(array)).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    return array if plain is not False else pc.utf8_normalize(array, form="NFC")  # pyright: ignore[reportAttributeAccessIssue]


def _bytes_of(array: Any) -> tuple[UInt[np.ndarray, " D"], Int[np.ndarray, " T+1"]]:
    """The UTF-8 bytes behind ``array`` and where each text begins; no copy."""
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8), starts


@lru_cache(maxsize=1)
def _letters() -> Int[np.ndarray, " C"]:
    """For each code point the one it counts as (lower case), or 0 where it parts words."""
    table = np.zeros(0x110000, np.int32)
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character)[0] in "LNM":
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    return table


@lru_cache(maxsize=1)
def _stands() -> UInt[np.ndarray, " C"]:
    """For each code point `RUN`, `MARK` or `ALONE`."""
    stands = np.full(0x110000, RUN, np.uint8)
    stands[marks()] = MARK
    stands[list(letters())] = ALONE
    return stands


@njit(nogil=True, cache=True, inline="always")
def _mixed(value):  # pyright: ignore
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    value = (value ^ (value >> np.uint64(30))) * _MIX1
    value = (value ^ (value >> np.uint64(27))) * _MIX2
    return value ^ (value >> np.uint64(31))


@njit(nogil=True, cache=True)
def sort_small(values, first, last):  # pyright: ignore
    """Sorts ``values[first:last]`` in place; by insertion where short, as most texts are."""
    if last - first > 48:
        values[first:last].sort()
        return
    for i in range(first + 1, last):
        value = values[i]
        j = i - 1
        while j >= first and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value


@njit(nogil=True, cache=True, inline="always")
def _decoded(data, at):  # pyright: ignore
    """(the code point of the UTF-8 character that begins at ``at``, where the next begins)."""
    byte = np.int64(data[at])
    if byte < 0x80:
        return byte, at + 1
    second = np.int64(data[at + 1]) & 0x3F
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | second, at + 2
    third = np.int64(data[at + 2]) & 0x3F
    if byte < 0xF0:
        return (byte & 0x0F) << 12 | second << 6 | third, at + 3
    return (byte & 0x07) << 18 | second << 12 | third << 6 | (np.int64(data[at + 3]) & 0x3F), at + 4


@njit(nogil=True, cache=True)
def _read_units(data, at, end, table, stands, characters, units):  # pyright: ignore
    """Writes a hash of each word of one text, or the code point of each character, to ``units``; how many they are."""
    num_units = 0
    word = _START
    inside = False
    alone = False  # the word that is read is one of a script without blanks
    while at < end:
        code, at = _decoded(data, at)
        letter = np.uint64(table[code])
        if characters:
            if letter:
                if not inside and num_units:
                    units[num_units] = np.uint64(32)
                    num_units += 1
                units[num_units] = letter
                num_units += 1
            inside = letter != 0
        elif letter:
            stand = stands[code] if code >= FIRST_MARK else RUN
            if inside and (stand == ALONE or (alone and stand == RUN)):
                units[num_units] = _mixed(word)
                num_units += 1
                word = _START
            alone = stand == ALONE or (alone and inside and stand == MARK)
            word = (word ^ letter) * _STEP
            word ^= word >> np.uint64(29)
            inside = True
        elif inside:
            units[num_units] = _mixed(word)
            num_units += 1
            word = _START
            inside = False
    if inside and not characters:
        units[num_units] = _mixed(word)
        num_units += 1
    return num_units


@njit(nogil=True, cache=True)
def _write_shingles(units, num_units, size, out, used):  # pyright: ignore
    """Writes the different hashes of runs of ``size`` units behind ``out[:used]``, sorted; where they end."""
    first = used
    run = min(size, num_units)
    for begin in range(num_units - run + 1):
        value = _START + np.uint64(run)
        for unit in range(begin, begin + run):
            value = (value ^ units[unit]) * _STEP
            value ^= value >> np.uint64(32)
        out[used] = _mixed(value)
        used += 1
    sort_small(out, first, used)
    kept = first + 1
    for i in range(first + 1, used):
        if out[i] != out[i - 1]:
            out[kept] = out[i]
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def _shingle_texts(data, offsets, table, stands, characters, size):  # pyright: ignore
    """(hashes of all texts, number of hashes of each)."""
    num_texts = len(offsets) - 1
    out = np.empty(offsets[-1] - offsets[0] + num_texts + 1, np.uint64)
    counts = np.zeros(num_texts, np.int64)
    units = np.empty(1024, np.uint64)
    used = 0
    for text in range(num_texts):
        at, end = offsets[text], offsets[text + 1]
        if len(units) < end - at + 1:
            units = np.empty(2 * (end - at) + 1, np.uint64)
        num_units = _read_units(data, at, end, table, stands, characters, units)
        if num_units:
            last = _write_shingles(units, num_units, size, out, used)
            counts[text] = last - used
            used = last
    return out[:used].copy(), counts
