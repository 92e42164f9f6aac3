"""The exact join in parts, on the machines of a Dask cluster: what is held at once is a shard, or a part of the index.

Shards are shingled (1), and how often each shingle stands is added up (2). A text goes to the parts of its first few shingles,
rarest first: two texts that are similar enough share one of these, so they meet in a part (3). Each part is joined as a whole
collection would be (`pipeline.cluster.join`), and what the parts found is put together (4). The result is that of `Join`, to
the last bit. Price: a text is compared in several parts, and everything between the steps goes through files.

Steps are plain functions of files, one task each, so that any engine could run them; docs/curation.md says why Dask does.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int, UInt
from numba import njit

from pipeline.cluster.join import SLACK, check_threshold, near_sets
from pipeline.cluster.shingle import Shingled, joined, shingled
from pipeline.corpus.near import Near, sorted_near
from pipeline.corpus.shards import batches

BITS = 20  # buckets of hashes whose shingles are counted together: 4 MB a shard
SHARD_TEXTS = 50_000  # where texts come as a list
Map = Callable[[Callable[..., Any], Sequence[Any]], list[Any]]  # an engine: a function, and what to call it with


class Spread:
    """``unit``, ``size`` and ``threshold`` as in `Join`. ``parts`` changes memory and speed only: each holds about
    (prefix shingles of a text) / parts of all texts, at most all.

    ``scheduler``: the address of a Dask scheduler whose workers see the same files under ``scratch``; null: ``workers`` processes on
    this machine. ``scratch`` null: the system's temporary folder.
    """

    def __init__(
        self,
        *,
        unit: Literal["word", "character"],
        size: int,
        threshold: float,
        parts: int,
        workers: int,
        scheduler: str | None,
        scratch: str | None,
    ) -> None:
        check_threshold(threshold)
        if min(size, parts, workers) < 1:
            raise ValueError(f"size, parts and workers must be at least 1, got {size}, {parts} and {workers}; see conf/cluster")
        self.unit: Literal["word", "character"] = unit
        self.size = size
        self.threshold = threshold
        self.parts = parts
        self.workers = workers
        self.scheduler = scheduler
        self.scratch = scratch
        self.running: Map | None = None

    def on(self, engine: Map) -> "Spread":
        """The same on an engine that is already there (`engine`)."""
        found = copy(self)
        found.running = engine
        return found

    def __call__(self, texts: Sequence[str]) -> Near:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            shards = [Path(folder) / f"{first:012}.parquet" for first in range(0, max(1, len(texts)), SHARD_TEXTS)]
            for k, shard in enumerate(shards):
                part = pa.array(texts[k * SHARD_TEXTS : (k + 1) * SHARD_TEXTS], pa.large_string())
                pq.write_table(pa.table({"text": part}), shard, write_page_checksum=True)
            return self.shards(shards, "text")

    def shards(self, shards: Sequence[Path], column: str) -> Near:
        """The near texts of ``column`` over all Parquet ``shards``, numbered through."""
        with (
            nullcontext(self.running) if self.running else self.engine() as engine,
            tempfile.TemporaryDirectory(dir=self.scratch) as folder,
        ):
            return near_in_parts(engine, shards, Path(folder), column, self.unit, self.size, self.threshold, self.parts)

    @contextmanager
    def engine(self) -> Iterator[Map]:
        from dask.distributed import Client, LocalCluster

        if self.scheduler is not None:
            with Client(self.scheduler) as client:
                yield partial(_mapped, client)
            return
        with (
            tempfile.TemporaryDirectory(dir=self.scratch) as folder,
            LocalCluster(
                n_workers=self.workers,
                threads_per_worker=1,
                host="127.0.0.1",
                local_directory=folder,
                dashboard_address=None,  # pyright: ignore[reportArgumentType]  no web server
            ) as cluster,
            Client(cluster) as client,
        ):
            yield partial(_mapped, client)


def _mapped(client: Any, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
    return client.gather(client.map(function, items, pure=False))


def near_in_parts(
    engine: Map,
    shards: Sequence[Path],
    folder: Path,
    column: str,
    unit: Literal["word", "character"],
    size: int,
    threshold: float,
    parts: int,
) -> Near:
    """The four steps; ``folder``, empty, takes what stands between them."""
    items = [(shard, folder / f"{k:06}") for k, shard in enumerate(shards)]
    lengths = engine(partial(shingle_shard, column=column, unit=unit, size=size), items)
    starts = np.cumsum([0, *lengths]).tolist()
    counts = np.zeros(1 << BITS, np.int64)
    for _, name in items:
        counts += np.load(f"{name}.counts.npy")
    np.save(folder / "counts.npy", np.minimum(counts, np.iinfo(np.uint32).max).astype(np.uint32))
    routes = [(name, first) for (_, name), first in zip(items, starts[:-1], strict=True)]
    engine(partial(route_shard, threshold=threshold, parts=parts), routes)
    found = engine(partial(join_part, folder=folder, shards=len(shards), threshold=threshold), range(parts))
    return put_together(starts[-1], found)


def shingle_shard(item: tuple[Path, Path], *, column: str, unit: Literal["word", "character"], size: int) -> int:
    """Writes the shingles of a shard's texts and how many fall into each bucket; the number of texts."""
    shard, name = item
    texts = (batch.column(0) for batch in batches(shard, [column]))
    hashes, starts = joined([_EMPTY, *(shingled(part, unit=unit, size=size, workers=1) for part in texts)])
    np.save(f"{name}.counts.npy", np.bincount(_buckets(hashes), minlength=1 << BITS).astype(np.uint32))
    np.save(f"{name}.hashes.npy", hashes)
    np.save(f"{name}.starts.npy", starts)
    return len(starts) - 1


def route_shard(item: tuple[Path, int], *, threshold: float, parts: int) -> None:
    """Writes for each part the texts of a shard that go there, whole, under their numbers over all shards."""
    name, first = item
    hashes, starts = np.load(f"{name}.hashes.npy"), np.load(f"{name}.starts.npy")
    counts = np.load(name.parent / "counts.npy")
    text, part = _routes(hashes, starts, counts, threshold, parts)
    for one in range(parts):
        chosen = text[part == one]
        sizes = starts[chosen + 1] - starts[chosen]
        at = np.repeat(starts[chosen] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        np.save(f"{name}.{one}.hashes.npy", hashes[at])
        np.save(f"{name}.{one}.starts.npy", np.concatenate([[0], np.cumsum(sizes)]))
        np.save(f"{name}.{one}.texts.npy", chosen + first)


def join_part(part: int, *, folder: Path, shards: int, threshold: float) -> dict[str, np.ndarray]:
    """``first``: for each of ``texts`` the first with the same shingles; near ones among these: ``left``, ``right``, ``similarity``."""
    names = [f"{folder / f'{k:06}'}.{part}" for k in range(shards)]
    sets = joined([Shingled(np.load(f"{name}.hashes.npy"), np.load(f"{name}.starts.npy")) for name in names])
    texts = np.concatenate([np.load(f"{name}.texts.npy") for name in names])
    near = near_sets(sets, threshold=threshold, workers=1)
    leader = texts[np.unique(near.set_of, return_index=True)[1]] if len(texts) else texts
    found = {"texts": texts, "first": leader[near.set_of], "left": leader[near.left], "right": leader[near.right]}
    return found | {"similarity": near.similarity}


def put_together(num_texts: int, found: Iterable[dict[str, np.ndarray]]) -> Near:
    """What the parts found, each pair once. Texts with equal shingles stand in the same parts, with the same first text."""
    first = np.arange(num_texts)
    ends, similarity = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for part in found:
        first[part["texts"]] = part["first"]
        ends.append(np.stack([part["left"], part["right"]], axis=1))
        similarity.append(part["similarity"])
    _, set_of = np.unique(first, return_inverse=True)
    pairs, place = np.unique(np.sort(set_of[np.concatenate(ends)], axis=1), axis=0, return_index=True)
    return sorted_near(set_of.astype(np.int64), pairs[:, 0], pairs[:, 1], np.concatenate(similarity)[place])


_EMPTY = Shingled(np.zeros(0, np.uint64), np.zeros(1, np.int64))


def _buckets(hashes: UInt[np.ndarray, " S"]) -> Int[np.ndarray, " S"]:
    return (hashes >> np.uint64(64 - BITS)).astype(np.int64)


@njit(nogil=True, cache=True)
def _routes(hashes, starts, counts, threshold, parts):  # pyright: ignore
    """(text, part), each once: a text of n shingles goes to the parts of its first n - ceil(threshold n) + 1, rarest first."""
    bits = np.uint64(64 - BITS)
    texts = np.empty(1024, np.int64)
    where = np.empty(1024, np.int64)
    used = 0
    seen = np.full(parts, -1, np.int64)
    for text in range(len(starts) - 1):
        size = starts[text + 1] - starts[text]
        if size == 0:
            continue
        own = hashes[starts[text] : starts[text + 1]]
        often = np.empty(size, np.int64)
        for i in range(size):
            often[i] = counts[own[i] >> bits]
        order = np.argsort(often, kind="mergesort")  # stable: hashes stay in order among equals
        for k in range(size - np.int64(np.ceil(threshold * size - SLACK)) + 1):
            if often[order[k]] == 1:
                continue  # stands in one text only
            part = np.int64(own[order[k]] % np.uint64(parts))
            if seen[part] == text:
                continue
            seen[part] = text
            if used == len(texts):
                texts = np.concatenate((texts, np.empty_like(texts)))
                where = np.concatenate((where, np.empty_like(where)))
            texts[used], where[used] = text, part
            used += 1
    return texts[:used].copy(), where[:used].copy()
