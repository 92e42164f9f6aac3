"""Near duplicates out of Parquet shards, a batch of rows in memory at a time: for collections of single texts, before they are paired.

Over all shards only the hashed shingles are held (8 bytes each), never the texts. Writes, under the names of the shards,
``kept/`` (the rows as they came) and ``dropped/`` (with the reason, and the id and text of the row that stays instead).
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int

from benchmarks.twins import kept_twins
from pipeline.checkpoint import whole_directory
from pipeline.corpus.near import Near
from pipeline.corpus.shards import batches

EQUAL, NEAR = "equal words", "near duplicate"


Map = Callable[[Callable[..., Any], Sequence[Any]], list[Any]]  # an engine: a function, and what to call it with


class ShardJoin(Protocol):
    def shards(self, shards: Sequence[Path], column: str, /) -> Near: ...


def here(function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
    """The engine that is this process."""
    return [function(item) for item in items]


def deduplicate_shards(
    shards: Sequence[Path], out: Path, *, text: str, identity: str, find: ShardJoin, longest: bool, engine: Map = here
) -> dict[str, int]:
    """Counts by fate. ``text`` and ``identity`` name columns; of a cluster the ``longest`` text is kept, else the first.

    ``find`` and ``engine`` decide where the work is done, not what comes out: `pipeline.cluster.join` here, `spread` on a cluster.
    """
    near = find.shards(shards, text)
    lengths = engine(partial(_lengths, text=text), shards)
    starts = np.cumsum([0, *map(len, lengths)])
    place = np.arange(starts[-1])
    order = np.lexsort((place, -np.concatenate(lengths))) if longest and lengths else place
    rank = np.empty_like(place)
    rank[order] = place
    twin = kept_twins(near, rank, chains=False)
    equal = near.set_of == near.set_of[twin]
    wanted = np.unique(twin[twin != place])
    shown = _rows(shards, starts, wanted, [identity, text], engine)
    counts = {"kept": 0, EQUAL: 0, NEAR: 0}
    with whole_directory(out) as folder:
        for name in ("kept", "dropped"):
            (folder / name).mkdir()
        tasks = []
        for shard, first, last in zip(shards, starts[:-1], starts[1:], strict=True):
            gone = np.flatnonzero(twin[first:last] != place[first:last])
            beside = shown.take(pa.array(np.searchsorted(wanted, twin[first:last][gone])))
            tasks.append((shard, gone, equal[first:last][gone], beside))
        for one in engine(partial(_write_shard, folder=folder, text=text, identity=identity), tasks):
            counts = {key: n + one[key] for key, n in counts.items()}
    return counts


def _lengths(shard: Path, *, text: str) -> Int[np.ndarray, " T"]:
    """Bytes of each text."""
    parts = [np.asarray(pc.binary_length(batch.column(0))) for batch in batches(shard, [text])]  # pyright: ignore[reportAttributeAccessIssue]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _write_shard(task: tuple[Path, Any, Any, pa.Table], *, folder: Path, text: str, identity: str) -> dict[str, int]:
    """The rows of one shard to ``kept`` and ``dropped``; ``gone``: places of those dropped, ``beside``: the rows kept instead."""
    shard, gone, equal, beside = task
    schema = pq.read_schema(shard)
    reasons = pa.array(np.where(equal, EQUAL, NEAR).tolist(), pa.string())
    first = 0
    with (
        pq.ParquetWriter(folder / "kept" / shard.name, schema, compression="zstd") as kept,
        pq.ParquetWriter(folder / "dropped" / shard.name, _with_twin(schema, identity, text), compression="zstd") as dropped,
    ):
        for batch in batches(shard, None):
            low, high = np.searchsorted(gone, [first, first + len(batch)]).tolist()
            left_out = np.zeros(len(batch), dtype=bool)
            left_out[gone[low:high] - first] = True
            rows, twins = batch.filter(pa.array(left_out)), beside.slice(low, high - low)
            columns = [*rows.columns, reasons.slice(low, high - low), *twins.columns]
            dropped.write_table(pa.table(columns, schema=_with_twin(schema, identity, text)))
            kept.write_batch(batch.filter(pa.array(~left_out)))
            first += len(batch)
    return {"kept": first - len(gone), EQUAL: int(equal.sum()), NEAR: int((~equal).sum())}


def _with_twin(schema: pa.Schema, identity: str, text: str) -> pa.Schema:
    further = [("reason", pa.string()), ("twin_id", schema.field(identity).type), ("twin_text", schema.field(text).type)]
    return pa.schema([*schema, *further])


def _rows(shards: Sequence[Path], starts: Any, wanted: Int[np.ndarray, " W"], columns: list[str], engine: Map) -> Any:
    """The rows of numbers ``wanted`` (ascending, over all shards) as one table."""
    at = np.searchsorted(wanted, starts)
    tasks = [(shard, wanted[at[k] : at[k + 1]] - starts[k]) for k, shard in enumerate(shards)]
    return pa.concat_tables(engine(partial(_rows_of, columns=columns), tasks)).combine_chunks()


def _rows_of(task: tuple[Path, Any], *, columns: list[str]) -> pa.Table:
    shard, wanted = task
    parts, first = [], 0
    for batch in batches(shard, columns):
        inside = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + len(batch))] - first
        parts.append(batch.select(columns).take(pa.array(inside)))
        first += len(batch)
    full = pq.read_schema(shard)
    return pa.Table.from_batches(parts, schema=pa.schema([full.field(name) for name in columns]))
