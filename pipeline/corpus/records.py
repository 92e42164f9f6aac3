"""Records as columns: what a stage works on where there are a million of them, and what reads as a sequence of objects where there are few.

A part of curation (a filter, a dedup, a split, an audit, a measure) is handed plain lists of `Row`, unless its attribute ``by_column`` says
that it works on `Records`. So a part may be written row by row, and pays about 4 us a row for the objects.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Int, UInt

from pipeline.corpus.files import read
from pipeline.corpus.row import IF_ANY, SPLITS, Row, filled
from pipeline.sums import check_file
from pipeline.task import Kind, kind_named

T = TypeVar("T")
compute: Any = pc

BATCH = 10_000  # records made into objects at a time
GROUP_ROWS = 1 << 20  # of a row group, which is what pyarrow writes of itself
_TYPES = {float | None: pa.float64(), int: pa.int64()}


class Records(Sequence[T], Generic[T]):
    """``columns``: an Arrow array for each field of ``kind``, all of one length; others, whose names begin with "#", are notes of a stage
    that go where the records go, and are never written. A column of texts may refer to a list of texts (Arrow's dictionary type)."""

    def __init__(self, kind: type[T], columns: Mapping[str, pa.Array]) -> None:
        self.kind = kind
        self.columns = dict(columns)

    @classmethod
    def of(cls, kind: type[T], records: Sequence[T]) -> "Records[T]":
        """``records`` as columns; those that are columns already, as they are."""
        if isinstance(records, Records):
            return records
        found = {name: pa.array([getattr(record, name) for record in records], type_) for name, type_ in types(kind).items()}
        return cls(kind, found)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __iter__(self) -> Iterator[T]:
        names = list(types(self.kind))
        for first in range(0, len(self), BATCH):
            yield from map(self.kind, *(self.columns[name].slice(first, BATCH).to_pylist() for name in names))

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> "Records[T]": ...
    def __getitem__(self, place: int | slice) -> "T | Records[T]":
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        return self.kind(*(self.columns[name][place].as_py() for name in types(self.kind)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __add__(self, other: Sequence[T]) -> "Records[T]":
        return joined(self.kind, [self, Records.of(self.kind, other)])

    def take(self, places: Int[np.ndarray, " N"]) -> "Records[T]":
        chosen = pa.array(places)
        return Records(self.kind, {name: column.take(chosen) for name, column in self.columns.items()})

    def where(self, mask: Bool[np.ndarray, " N"]) -> "Records[T]":
        if mask.all():
            return self
        chosen = pa.array(mask)
        return Records(self.kind, {name: column.filter(chosen) for name, column in self.columns.items()})

    def replaced(self, **columns: pa.Array) -> "Records[T]":
        return Records(self.kind, {**self.columns, **columns})

    def noted(self, name: str) -> Any:
        """The note ``name`` as numpy has it; None where there is none."""
        column = self.columns.get(f"#{name}")
        return None if column is None else column.to_numpy(zero_copy_only=False)

    def codes(self, name: str) -> tuple[Int[np.ndarray, " N"], list[Any]]:
        """Column ``name`` as numbers, and the different values that they stand for, in the order in which they come; None is one."""
        return coded(self.columns[name])


Rows = Records[Row]


@cache
def types(kind: type[Any]) -> dict[str, pa.DataType]:
    """Arrow's type of each field of a dataclass; texts have wide offsets, so that a column may hold more than 2 GB."""
    hints = get_type_hints(kind)
    return {one.name: _TYPES.get(hints[one.name], pa.large_string()) for one in dataclasses.fields(kind)}


def coded(column: pa.Array) -> tuple[Int[np.ndarray, " N"], list[Any]]:
    found: Any = compute.dictionary_encode(column, null_encoding="encode")
    return found.indices.to_numpy(zero_copy_only=False).astype(np.int64), found.dictionary.to_pylist()


def tallied(column: pa.Array) -> dict[Any, int]:
    """How often each value stands there, in the order in which they come."""
    found = compute.value_counts(column)
    return dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))


def joined(kind: type[T], parts: Sequence[Records[T]]) -> Records[T]:
    """The records of all parts, one part behind the other, with the notes that all of them have."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Records.of(kind, [])
    names = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    return Records(kind, {name: _concatenated([part.columns[name] for part in parts]) for name in names})


def _concatenated(columns: Sequence[pa.Array]) -> pa.Array:
    """One column; where all refer to one list of texts, it does so, too."""
    if all(pa.types.is_dictionary(column.type) for column in columns):
        known: list[Any] = [column.dictionary for column in columns]
        if len({(len(one), one.buffers()[2].address if one.buffers()[2] else 0) for one in known}) == 1:
            return pa.DictionaryArray.from_arrays(pa.concat_arrays([column.indices for column in columns]), known[0])
    return pa.concat_arrays([written_out(column) for column in columns])


def written_out(column: Any) -> Any:
    """A column of texts that refers to a list of texts, with the texts themselves."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def pairs_of(rows: Rows, one: str, other: str) -> list[tuple[Any, Any]]:
    """The different pairs of values of two columns, in the order in which they come."""
    number, found = _paired(rows, one, other)
    return [found[i] for i in compute.unique(pa.array(number)).to_pylist()]


def _paired(rows: Rows, one: str, other: str) -> tuple[Int[np.ndarray, " R"], list[tuple[Any, Any]]]:
    (left, ones), (right, others) = rows.codes(one), rows.codes(other)
    pairs, number = np.unique(left * max(1, len(others)) + right, return_inverse=True)
    return number.astype(np.int64), [(ones[pair // len(others)], others[pair % len(others)]) for pair in pairs.tolist()]


def kinds(rows: Rows) -> tuple[Int[np.ndarray, " R"], list[Kind]]:
    """For each row the number of its kind of task, and the kinds; ValueError where nobody knows one."""
    number, found = _paired(rows, "task", "kind")
    return number, [kind_named(task, kind) for task, kind in found]


def of_kinds(rows: Rows, says: Any) -> Bool[np.ndarray, " R"]:
    """For each row what ``says`` says of its kind."""
    number, found = kinds(rows)
    return np.array([bool(says(kind)) for kind in found], bool)[number] if found else np.zeros(len(rows), bool)


def splits_of(rows: Rows) -> Int[np.ndarray, " R"]:
    """For each row the place of its split in `SPLITS`, -1 for none."""
    return (
        compute.fill_null(compute.index_in(rows.columns["split"], pa.array(SPLITS, pa.large_string())), -1)
        .to_numpy()
        .astype(np.int64)
    )


def with_splits(rows: Rows, split: Int[np.ndarray, " R"]) -> Rows:
    """``rows``, the split of each as `splits_of` says it."""
    return rows.replaced(split=pa.array([*SPLITS, None], pa.large_string()).take(pa.array(split % (len(SPLITS) + 1))))


def is_in(column: pa.Array, values: Sequence[Any]) -> Bool[np.ndarray, " N"]:
    """Where ``column`` holds one of ``values``; null is none of them."""
    return compute.is_in(column, pa.array(values, column.type)).to_numpy(zero_copy_only=False)


def teaching(rows: Rows) -> Bool[np.ndarray, " R"]:
    """`pipeline.corpus.row.teaches`, of all rows."""
    score = rows.columns["score"]
    relevant = compute.fill_null(compute.greater(score, 0), True).to_numpy(zero_copy_only=False)
    return relevant | of_kinds(rows, lambda kind: not kind.answers)


def filled_texts(texts: pa.Array) -> Bool[np.ndarray, " N"]:
    """`pipeline.corpus.row.filled`, of all texts; False where there is none."""
    seen = compute.fill_null(compute.match_substring_regex(texts, "[!-~]"), False).to_numpy(zero_copy_only=False).copy()
    for i in np.flatnonzero(~seen).tolist():
        text = texts[i].as_py()
        seen[i] = text is not None and filled(text)
    return seen


def bytes_of(texts: pa.Array) -> tuple[UInt[np.ndarray, " D"], Int[np.ndarray, " T+1"]]:
    """The UTF-8 bytes behind ``texts``, which have wide offsets, and where each begins; no copy."""
    _, offsets, data = texts.buffers()
    starts = (
        np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1] if len(texts) else np.zeros(1, np.int64)
    )
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8), starts


def read_records(path: Path, kind: type[T]) -> Records[T]:
    """What `write_records` wrote; ValueError, as `pipeline.corpus.files.read` says it, where the file is missing, damaged or holds other
    records."""
    columns: dict[str, pa.Array] = {}
    try:
        check_file(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _read_columns(file, kind, columns)
    except (pa.ArrowException, OSError):
        return Records.of(kind, read(path, kind))
    if len(columns) < len(types(kind)) or not _sound(kind, columns):
        return Records.of(kind, read(path, kind))
    return Records(kind, columns)


def _read_columns(file: pq.ParquetFile, kind: type[Any], columns: dict[str, pa.Array]) -> None:
    """Fill ``columns`` with what the file holds of ``kind``, one after the other, so that no more than one is held twice."""
    schema = file.schema_arrow
    for one in dataclasses.fields(kind):  # pyright: ignore[reportArgumentType]
        type_ = types(kind)[one.name]
        if one.name not in schema.names and one.metadata == IF_ANY:
            columns[one.name] = pa.nulls(file.metadata.num_rows, type_)
        elif one.name in schema.names and schema.field(one.name).type in (type_, pa.string()):
            columns[one.name] = whole(file.read(columns=[one.name])[one.name].cast(type_))


def whole(column: Any) -> Any:
    """A chunked array as one array."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([pa.array([], column.type), *column.chunks])


def _sound(kind: type[Any], columns: Mapping[str, pa.Array]) -> bool:
    """Whether every value is one that the schema allows."""
    hints = get_type_hints(kind)
    try:
        for column in columns.values():
            column.validate(full=True)  # texts are UTF-8
    except pa.ArrowInvalid:
        return False
    if any(column.null_count for name, column in columns.items() if hints[name] in (str, int)):
        return False
    if kind is not Row:
        return all(name != "split" or _splits(column) for name, column in columns.items())
    finite = compute.all(compute.is_finite(columns["score"]), min_count=0).as_py()
    return (
        bool(finite) and _splits(columns["split"]) and all(filled_texts(columns[name]).all() for name in ("query", "document"))
    )


def _splits(column: pa.Array) -> bool:
    return set(coded(column)[1]) <= {None, *SPLITS}


def write_records(path: Path, records: Records[Any]) -> None:
    """The same bytes that `pipeline.corpus.files.write` writes of the same records."""
    fields = dataclasses.fields(records.kind)
    names = [one.name for one in fields if one.metadata != IF_ANY or records.columns[one.name].null_count < len(records)]
    narrow = {pa.large_string(): pa.string()}
    schema = pa.schema([(name, narrow.get(types(records.kind)[name], types(records.kind)[name])) for name in names])
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as file:
        for first in range(0, max(1, len(records)), GROUP_ROWS):
            parts = [
                _narrowed(written_out(records.columns[name].slice(first, GROUP_ROWS)), schema.field(name).type)
                for name in names
            ]
            file.write_table(pa.table(parts, schema=schema))


def _narrowed(column: Any, kind: pa.DataType) -> Any:
    """``column`` as ``kind``. Texts whose places lie beyond 2 GiB of their buffer are copied in parts that begin at its start."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        if len(column) < 2:
            raise
        half = len(column) // 2
        copies = [part.take(pa.array(np.arange(len(part)))) for part in (column.slice(0, half), column.slice(half))]
        found = [_narrowed(copy, kind) for copy in copies]
        return pa.chunked_array(
            [chunk for one in found for chunk in (one.chunks if isinstance(one, pa.ChunkedArray) else [one])], kind
        )
