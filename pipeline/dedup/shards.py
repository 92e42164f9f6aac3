"""Near duplicates out of Parquet shards, a batch of rows in memory at a time: for collections of single texts, before they are paired.

Over all shards only the hashed shingles are held (8 bytes each), never the texts. Writes, under the names of the shards,
``kept/`` (the rows as they came) and ``dropped/`` (with the reason, and the id and text of the row that stays instead).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int

from pipeline.checkpoint import whole_directory
from pipeline.corpus.near import Near, kept_twins

EQUAL, NEAR = "equal words", "near duplicate"
BATCH_ROWS = 100_000  # in memory at a time


class StreamJoin(Protocol):
    def stream(self, parts: Iterator[pa.Array], /) -> Near: ...


def deduplicate_shards(
    shards: Sequence[Path], out: Path, *, text: str, identity: str, find: StreamJoin, longest: bool
) -> dict[str, int]:
    """Counts by fate. ``text`` and ``identity`` name columns; of a cluster the ``longest`` text is kept, else the first."""
    lengths: list[Int[np.ndarray, " T"]] = []

    def texts() -> Iterator[pa.Array]:
        for batch in (batch for shard in shards for batch in _batches(shard, [text])):
            lengths.append(np.asarray(pc.binary_length(batch.column(0))))  # pyright: ignore[reportAttributeAccessIssue]
            yield batch.column(0)

    near = find.stream(texts())
    starts = np.cumsum([0, *map(len, lengths)])
    place = np.arange(starts[-1])
    order = np.lexsort((place, -np.concatenate(lengths))) if longest and lengths else place
    rank = np.empty_like(place)
    rank[order] = place
    twin = kept_twins(near, rank, chains=False)
    wanted = np.unique(twin[twin != place])
    shown = _rows(shards, wanted, [identity, text])
    counts = {"kept": 0, EQUAL: 0, NEAR: 0}
    with whole_directory(out) as folder:
        for name in ("kept", "dropped"):
            (folder / name).mkdir()
        first = 0
        for shard in shards:
            schema = pq.read_schema(shard)
            with (
                pq.ParquetWriter(folder / "kept" / shard.name, schema, compression="zstd") as kept,
                pq.ParquetWriter(
                    folder / "dropped" / shard.name, _with_twin(schema, identity, text), compression="zstd"
                ) as gone,
            ):
                for batch in _batches(shard, None):
                    here = np.arange(first, first + len(batch))
                    first += len(batch)
                    left_out = twin[here] != here
                    equal = (near.set_of[here] == near.set_of[twin[here]])[left_out]
                    beside = shown.take(pa.array(np.searchsorted(wanted, twin[here][left_out])))
                    dropped = batch.filter(pa.array(left_out))
                    columns = [*dropped.columns, pa.array(np.where(equal, EQUAL, NEAR).tolist(), pa.string()), *beside.columns]
                    gone.write_table(pa.table(columns, schema=_with_twin(schema, identity, text)))
                    kept.write_batch(batch.filter(pa.array(~left_out)))
                    for key, n in (("kept", len(batch) - len(equal)), (EQUAL, equal.sum()), (NEAR, (~equal).sum())):
                        counts[key] += int(n)
    return counts


def _with_twin(schema: pa.Schema, identity: str, text: str) -> pa.Schema:
    further = [("reason", pa.string()), ("twin_id", schema.field(identity).type), ("twin_text", schema.field(text).type)]
    return pa.schema([*schema, *further])


def _batches(shard: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(shard) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=columns)


def _rows(shards: Sequence[Path], wanted: Int[np.ndarray, " W"], columns: list[str]) -> Any:
    """The rows of numbers ``wanted`` (ascending, over all shards) as one table."""
    parts, first = [], 0
    for batch in (batch for shard in shards for batch in _batches(shard, columns)):
        inside = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + len(batch))] - first
        parts.append(batch.select(columns).take(pa.array(inside)))
        first += len(batch)
    return pa.Table.from_batches(parts).combine_chunks()
