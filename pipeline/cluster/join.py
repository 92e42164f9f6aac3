"""All pairs of texts with Jaccard similarity >= threshold on shingles: exact, by a prefix-filter join, compiled.

Shingles are put in one order, rarest first. Two sets that are similar enough must share a shingle among their first few, so
only sets that meet in an index of these are looked at; a bound from the two sizes, and from how much is left behind the first
shared shingle, takes out most of the rest; what remains is compared shingle by shingle. Nothing is sampled, so nothing is missed.

Source: Xiao et al. 2008 (PPJoin), doi:10.1145/1367497.1367516; index prefix: lemma 2 there.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt
from numba import njit

from pipeline.cluster.shingle import Shingled, joined, shingled
from pipeline.corpus.near import Near, sorted_near
from pipeline.corpus.shards import batches

CHUNK_SETS = 20_000  # handed to a worker at a time
SLACK = 1e-9  # bounds are rounded to the safe side; the last word is `shared / union >= threshold`


class Join:
    """``unit`` and ``size`` say what a shingle is (`pipeline.cluster.shingle`). ``workers`` changes the speed only."""

    def __init__(self, *, unit: Literal["word", "character"], size: int, threshold: float, workers: int) -> None:
        check_threshold(threshold)
        if size < 1 or workers < 1:
            raise ValueError(f"size and workers must be at least 1, got size {size} and workers {workers}; see conf/cluster")
        self.unit: Literal["word", "character"] = unit
        self.size = size
        self.threshold = threshold
        self.workers = workers

    @property
    def settings(self) -> tuple[object, ...]:
        """All that decides, beside two texts, whether these are near."""
        return ("join", self.unit, self.size, self.threshold)

    def __call__(self, texts: Sequence[str] | pa.Array | pa.ChunkedArray) -> Near:
        return self.stream([texts])

    def stream(self, parts: Iterable[Sequence[str] | pa.Array | pa.ChunkedArray]) -> Near:
        """The same over texts that come in parts: of each part only the hashes are held."""
        return near_sets(self._shingled(parts), threshold=self.threshold, workers=self.workers)

    def shards(self, shards: Sequence[Path], column: str) -> Near:
        """The near texts of ``column`` over all Parquet ``shards``, numbered through."""
        return self.stream(batch.column(0) for shard in shards for batch in batches(shard, [column]))

    def _shingled(self, parts: Iterable[Sequence[str] | pa.Array | pa.ChunkedArray]) -> Shingled:
        return joined([shingled(part, unit=self.unit, size=self.size, workers=self.workers) for part in parts])


def check_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}; write 0.30 for 30 percent")


def near_sets(texts: Shingled, *, threshold: float, workers: int) -> Near:
    """The exact join of shingled texts. A text without shingles is near to none, not even to another such."""
    hashes, starts = texts
    set_of, leaders = equal_sets(hashes, starts)
    sizes = np.diff(starts)[leaders]
    order = np.argsort(sizes, kind="stable")
    sizes = sizes[order]
    chunks = [(first, min(first + CHUNK_SETS, len(sizes))) for first in range(0, len(sizes), CHUNK_SETS)]
    with ThreadPoolExecutor(workers) as pool:
        tokens, often, starts = _ordered(hashes, starts, leaders[order], chunks, pool, workers)
        del hashes, texts
        index = _index(tokens, starts, sizes, threshold)
        probe: Any = _probe
        parts = list(pool.map(lambda chunk: probe(tokens, often, starts, sizes, *index, *chunk, threshold), chunks))
    none = np.zeros(0, np.int32)
    left, right = (order[np.concatenate([none, *(part[side] for part in parts)])] for side in (0, 1))
    return sorted_near(set_of, left, right, np.concatenate([np.zeros(0), *(part[2] for part in parts)]))


def equal_sets(
    hashes: UInt[np.ndarray, " S"], starts: Int[np.ndarray, " T+1"]
) -> tuple[Int[np.ndarray, " T"], Int[np.ndarray, " N"]]:
    """(set of each text, first text of each set); sets are numbered in the order of their first texts."""
    keys = _set_keys(hashes, starts)
    leader = _leaders(hashes, starts, np.argsort(keys, kind="stable"), keys)
    leaders = np.flatnonzero(leader == np.arange(len(leader)))
    number = np.zeros(len(leader), np.int64)
    number[leaders] = np.arange(len(leaders))
    return number[leader], leaders


@njit(nogil=True, cache=True)
def _set_keys(hashes, starts):  # pyright: ignore
    keys = np.empty(len(starts) - 1, np.uint64)
    for text in range(len(keys)):
        key = np.uint64(starts[text + 1] - starts[text])
        for i in range(starts[text], starts[text + 1]):
            key = (key ^ hashes[i]) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
        keys[text] = key
    return keys


@njit(nogil=True, cache=True)
def _leaders(hashes, starts, order, keys):  # pyright: ignore
    """The first text with the same set. Equal keys are compared shingle by shingle; texts without shingles stand alone."""
    leader = np.arange(len(keys))
    head = 0
    for place in range(len(order)):
        if keys[order[place]] != keys[order[head]]:
            head = place
        text, first = order[place], order[head]
        size = starts[text + 1] - starts[text]
        if size == 0 or starts[first + 1] - starts[first] != size:
            continue
        same = True
        for i in range(size):
            if hashes[starts[text] + i] != hashes[starts[first] + i]:
                same = False
                break
        if same:
            leader[text] = first
    return leader


def _ordered(
    hashes: UInt[np.ndarray, " S"],
    starts: Int[np.ndarray, " T+1"],
    chosen: Int[np.ndarray, " N"],
    chunks: Sequence[tuple[int, int]],
    pool: ThreadPoolExecutor,
    workers: int,
) -> tuple[UInt[np.ndarray, " M"], UInt[np.ndarray, " M"], Int[np.ndarray, " N+1"]]:
    """Shingles of the ``chosen`` texts, in each set rarest first: (shingles, how often each stands, starts).

    How often a shingle stands is counted by buckets of hashes: any order serves that is the same in all sets, and this one is
    nearly that of the true counts. Shingles alone in their bucket stand in one set only and can match nothing. They are left out;
    the set's size remembers them.
    """
    total = int((starts[chosen + 1] - starts[chosen]).sum())
    bits = min(26, max(10, int(np.ceil(np.log2(max(2, 2 * total))))))
    seen = np.zeros(1 << bits, np.uint16)
    list(pool.map(lambda share: _count(hashes, starts, chosen, seen, bits, share, workers), range(workers)))
    parts = list(pool.map(lambda chunk: _shared_rarest_first(hashes, starts, chosen[slice(*chunk)], seen, bits), chunks))
    counts = np.concatenate([np.zeros(1, np.int64), *(part[2] for part in parts)])
    tokens = np.concatenate([np.zeros(0, np.uint64), *(part[0] for part in parts)])
    return tokens, np.concatenate([np.zeros(0, np.uint16), *(part[1] for part in parts)]), np.cumsum(counts)


@njit(nogil=True, cache=True)
def _count(hashes, starts, chosen, seen, bits, share, shares):  # pyright: ignore
    """How many shingles fall into each bucket, up to 65,535; the buckets of one worker are nobody else's."""
    shift = np.uint64(64 - bits)
    low, high = (share << bits) // shares, ((share + 1) << bits) // shares
    for text in chosen:
        for i in range(starts[text], starts[text + 1]):
            bucket = np.int64(hashes[i] >> shift)
            if low <= bucket < high and seen[bucket] < 65535:
                seen[bucket] += 1


@njit(nogil=True, cache=True)
def _shared_rarest_first(hashes, starts, chosen, seen, bits):  # pyright: ignore
    shift = np.uint64(64 - bits)
    total = 0
    for text in chosen:
        total += starts[text + 1] - starts[text]
    out = np.empty(total, np.uint64)
    counts = np.zeros(len(chosen), np.int64)
    often = np.empty(total, np.uint16)
    used = 0
    for place, text in enumerate(chosen):
        first = used
        for i in range(starts[text], starts[text + 1]):
            frequency = seen[hashes[i] >> shift]
            if frequency > 1:
                out[used], often[used] = hashes[i], frequency
                used += 1
        counts[place] = used - first
        if used - first > 48:
            order = np.argsort(often[first:used], kind="mergesort")  # stable: hashes stay in order among equals
            out[first:used] = out[first:used][order]
            often[first:used] = often[first:used][order]
            continue
        for i in range(first + 1, used):
            value, frequency = out[i], often[i]
            j = i - 1
            while j >= first and often[j] > frequency:
                out[j + 1], often[j + 1] = out[j], often[j]
                j -= 1
            out[j + 1], often[j + 1] = value, frequency
    return out[:used].copy(), often[:used].copy(), counts


@njit(nogil=True, cache=True)
def _index(tokens, starts, sizes, threshold):  # pyright: ignore
    """By bucket of hashes, the sets (by size) with such a shingle in their index prefix: (bits, starts, shingles, sets, places)."""
    total = 0
    for one in range(len(sizes)):
        total += _indexed(starts[one + 1] - starts[one], sizes[one], threshold)
    bits = 4
    while (1 << bits) < total and bits < 26:
        bits += 1
    shift = np.uint64(64 - bits)
    bucket_starts = np.zeros((1 << bits) + 1, np.int64)
    for one in range(len(sizes)):
        for i in range(starts[one], starts[one] + _indexed(starts[one + 1] - starts[one], sizes[one], threshold)):
            bucket_starts[(tokens[i] >> shift) + np.uint64(1)] += 1
    for bucket in range(1 << bits):
        bucket_starts[bucket + 1] += bucket_starts[bucket]
    at = bucket_starts[:-1].copy()
    shingles = np.empty(total, np.uint64)
    sets = np.empty(total, np.int32)
    places = np.empty(total, np.int32)
    for one in range(len(sizes)):
        length = starts[one + 1] - starts[one]
        for k in range(_indexed(length, sizes[one], threshold)):
            token = tokens[starts[one] + k]
            entry = at[token >> shift]
            shingles[entry], sets[entry], places[entry] = token, one, sizes[one] - length + k
            at[token >> shift] += 1
    return bits, bucket_starts, shingles, sets, places


@njit(nogil=True, cache=True, inline="always")
def _indexed(length, size, threshold):  # pyright: ignore
    """How many of a set's ``length`` shared shingles are in its index prefix, which comes behind those that it alone has."""
    return max(0, min(_index_prefix(size, threshold) - (size - length), length))


@njit(nogil=True, cache=True, inline="always")
def _index_prefix(size, threshold):  # pyright: ignore
    """Enough of a set's first shingles to meet any set at least as large."""
    return size - np.int64(np.ceil(2 * threshold / (1 + threshold) * size - SLACK)) + 1


@njit(nogil=True, cache=True)
def _shared(tokens, often, i, i_end, j, j_end, required):  # pyright: ignore
    """How many tokens the runs ``i`` to ``i_end`` and ``j`` to ``j_end`` share; fewer are counted where it cannot come to ``required``."""
    shared = 0
    while i < i_end and j < j_end:
        if tokens[i] == tokens[j]:
            shared += 1
            i += 1
            j += 1
        elif often[i] < often[j] or (often[i] == often[j] and tokens[i] < tokens[j]):
            i += 1
            if shared + i_end - i < required:
                break
        else:
            j += 1
            if shared + j_end - j < required:
                break
    return shared


@njit(nogil=True, cache=True)
def _probe(tokens, often, starts, sizes, bits, index_starts, index_tokens, index_sets, index_places, first, last, threshold):  # pyright: ignore
    """Near sets that stand before each of the sets ``first`` to ``last``: (set, earlier set, similarity)."""
    shift = np.uint64(64 - bits)
    left = np.empty(1024, np.int32)
    right = np.empty(1024, np.int32)
    similarity = np.empty(1024, np.float64)
    found = 0
    met = np.full(len(sizes), -1, np.int32)  # the last set that looked at this one
    for one in range(first, last):
        size = sizes[one]
        length = starts[one + 1] - starts[one]
        alone = size - length
        needed = np.int64(np.ceil(threshold * size - SLACK))
        smallest = np.searchsorted(sizes, needed)
        for k in range(min(size - needed + 1 - alone, length)):
            token = tokens[starts[one] + k]
            low, high = index_starts[token >> shift], index_starts[(token >> shift) + np.uint64(1)]
            if high - low > 16:
                low += np.searchsorted(index_sets[low:high], smallest)
            for entry in range(low, high):
                other = index_sets[entry]
                if other >= one:
                    break
                if index_tokens[entry] != token or other < smallest:
                    continue
                if met[other] == one:
                    continue
                met[other] = one
                left_behind = min(size - alone - k, sizes[other] - index_places[entry])
                both = size + sizes[other]
                required = np.int64(np.ceil(threshold / (1 + threshold) * both - SLACK))
                if left_behind < required:
                    continue
                place = starts[other] + index_places[entry] - (sizes[other] - (starts[other + 1] - starts[other]))
                shared = _shared(tokens, often, starts[one] + k, starts[one + 1], place, starts[other + 1], required)
                if shared / (both - shared) >= threshold:
                    if found == len(left):
                        left = np.concatenate((left, np.empty_like(left)))
                        right = np.concatenate((right, np.empty_like(right)))
                        similarity = np.concatenate((similarity, np.empty_like(similarity)))
                    left[found], right[found] = one, other
                    similarity[found] = shared / (both - shared)
                    found += 1
    return left[:found].copy(), right[:found].copy(), similarity[:found].copy()
