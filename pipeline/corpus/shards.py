"""Rows of Parquet shards, a batch in memory at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 100_000


def batches(shard: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """``columns`` None: all of them."""
    with pq.ParquetFile(shard, page_checksum_verification=True) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=columns)
