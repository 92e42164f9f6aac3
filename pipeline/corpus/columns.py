"""Parquet and Arrow files, which hold columns with types."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.cells import Cells, Needed, characters, checked_header
from pipeline.corpus.row import Rejected


def parquet(path: Path, needed: Needed, also: Needed) -> Iterator[pa.RecordBatch]:
    """``also``: columns that are read where they are there."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as table:
            yield from table.iter_batches(columns=_chosen(path, table.schema_arrow.names, needed, also))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: of a column's name
        raise ValueError(f"{path} is a damaged Parquet file ({error}); fetch it again") from error


def arrow(path: Path, needed: Needed, also: Needed) -> Iterator[pa.RecordBatch]:
    """An Arrow file, or the stream that the library `datasets` writes."""
    try:
        with pa.memory_map(str(path)) as source:
            if source.read(6) == b"ARROW1":
                reader = pa.ipc.open_file(source)
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                source.seek(0)
                reader = pa.ipc.open_stream(source)
                batches = iter(reader)
            columns = _chosen(path, reader.schema.names, needed, also)
            yield from (_whole(batch.select(columns)) for batch in batches)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: of a column's name
        raise ValueError(f"{path} is a damaged Arrow file ({error}); fetch it again") from error


def _whole(batch: pa.RecordBatch) -> pa.RecordBatch:
    """``batch``, its places within the file. ArrowInvalid where one is not, by a damaged byte: to read it would end the process."""
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):  # a bad text costs its row alone
                raise
    return batch


def _chosen(path: Path, names: list[str], needed: Needed, also: Needed) -> list[str]:
    optional = [name for one in also for name in ((one,) if isinstance(one, str) else one) if name in names]
    return list(dict.fromkeys([*checked_header(path, names, needed, nested=True), *optional]))


def records(file: str, batches: Iterator[pa.RecordBatch]) -> Iterator[Cells | Rejected]:
    """``line`` is the number of the row, from 1."""
    line = 0
    for batch in batches:
        try:
            found: list[Any] = batch.to_pylist()
        except UnicodeDecodeError:  # of one text; the others are good
            found = [_row(batch, i) for i in range(batch.num_rows)]
        for values in found:
            line += 1
            if isinstance(values, str):
                yield Rejected(file, line, values)
            else:
                yield Cells(file, line, values, 1, characters(values))


def record(file: str, line: int, batch: Any, i: int) -> Cells | Rejected:
    """The ``i``-th row of ``batch``, which is row ``line`` of the file."""
    values = _row(batch, i)
    return Rejected(file, line, values) if isinstance(values, str) else Cells(file, line, values, 1, characters(values))


def _row(batch: Any, i: int) -> dict[str, object] | str:
    try:
        return batch.slice(i, 1).to_pylist()[0]
    except UnicodeDecodeError:
        return "not valid UTF-8"
