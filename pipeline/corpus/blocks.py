"""Blocks of records to rows as columns: what most records of a table are is mapped at once, the rest by `ColumnMap.rows`, one by one.

A record is *plain* where the columns of its query and document hold a text, its score a finite number, and its names a name. Whatever
else a record may be (a list, a path into a record, an empty text, an id that stands for two texts) is left to `ColumnMap.rows`, which says
what it means. So both give the same rows, in the same order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from pipeline.corpus.cells import Cells, Tally
from pipeline.corpus.columns import arrow, parquet, record
from pipeline.corpus.mapping import ColumnMap
from pipeline.corpus.reading import checked_kind, read_cells
from pipeline.corpus.records import Records, Rows, coded, compute, joined, types
from pipeline.corpus.row import SPLITS, Rejected, Row, Split
from pipeline.corpus.values import content_id, number

NO_NAME = (
    " "  # stands for a name that is no text (a number, a list, a path into a record, a key that is not there): never plain
)
BLOCK_RECORDS = 10_000  # of files that are read record by record
NAMES = ("group", "split", "query_id", "document_id")


@dataclass(frozen=True)
class Block:
    """Records of one file that follow each other: ``columns`` as Arrow holds them, ``record(i)`` the i-th with all that is known of it."""

    file: str
    lines: Sequence[int]
    columns: Mapping[str, pa.Array]
    record: Callable[[int], Cells | Rejected]


def read_blocks(path: Path, of: ColumnMap, *, file: str, tally: Tally, **form: Any) -> Iterator[Block]:
    """The records of one file, counted in ``tally``, as `pipeline.corpus.reading.read_cells` reads them; ``form`` is handed on to it."""
    kind = checked_kind(path)
    if kind not in (".parquet", ".arrow"):
        yield from _gathered(read_cells(path, file=file, needed=of.needed, tally=tally, **form), of)
        return
    tally.files.add(file)
    line = 1
    for batch in (parquet if kind == ".parquet" else arrow)(path, of.needed, ()):
        records = partial(record, file, batch=batch)
        lines = range(line, line + batch.num_rows)
        columns = {name: _decoded(batch.column(name)) for name in batch.schema.names}
        if all(_sound(column) for column in columns.values()):
            texts = [column for column in columns.values() if _is_text(column)]
            size = sum(compute.sum(compute.utf8_length(column)).as_py() or 0 for column in texts)
            tally.add(file, len(lines), size, records=len(lines))
            yield Block(file, lines, columns, partial(_record_at, records, line))
        else:
            yield from _gathered(tally.counted(file, (records(line + i, i=i) for i in range(len(lines)))), of)
        line += len(lines)


def _record_at(records: Callable[..., Cells | Rejected], line: int, i: int) -> Cells | Rejected:
    return records(line + i, i=i)


def _is_text(column: pa.Array) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _sound(column: pa.Array) -> bool:
    """Whether every text is valid UTF-8; of columns that Arrow's newer types hold, it is not asked."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return not pa.types.is_string_view(column.type)


def _gathered(cells: Iterable[Cells | Rejected], of: ColumnMap) -> Iterator[Block]:
    """Records that come one by one, in blocks; a text that is none is left out of the columns, a name that is none is `NO_NAME`."""
    rest = iter(cells)
    while found := list(islice(rest, BLOCK_RECORDS)):
        columns: dict[str, pa.Array] = {}
        for role in (*NAMES, "query", "document", "score"):
            if (name := of.one[role]) is not None:
                absent = NO_NAME if role in NAMES else None
                values = [absent if isinstance(one, Rejected) else one.values.get(name, absent) for one in found]
                columns[name] = _numbers(values, name) if role == "score" else _texts(values, absent)
        yield Block(found[0].file, [one.line for one in found], columns, found.__getitem__)


def _texts(values: Sequence[object], absent: str | None) -> pa.Array:
    """``absent`` in place of what is neither a text nor null."""
    try:
        return pa.array([value if isinstance(value, str) or value is None else absent for value in values], pa.large_string())
    except UnicodeEncodeError:  # half of a surrogate pair: each is looked at alone
        return pa.array([absent] * len(values), pa.large_string())


def _numbers(values: Sequence[object], column: str) -> pa.Array:
    def read(value: object) -> float | None:
        try:
            return number(value, column)
        except ValueError:
            return None

    return pa.array([read(value) for value in values], pa.float64())


def mapped(block: Block, of: ColumnMap, texts: Mapping[str, str], split: Split | None) -> Iterator[Rows | Rejected]:
    """The rows of ``block``, in order, and what could not become one. ValueError as from `ColumnMap.rows`."""
    columns = _plain_columns(block, of)
    plain = np.zeros(len(block.lines), bool) if columns is None else _plain(columns)
    places = np.flatnonzero(plain)
    table = _rows({role: column.filter(pa.array(plain)) for role, column in (columns or {}).items()}, of, split or of.split)
    said = _said(table, of, places)
    rows: list[Row] = []
    behind: list[int] = []
    for i in range(len(plain)) if said else np.flatnonzero(~plain).tolist():
        if plain[i] and _consistent(of, *said[i], where=f"{block.file}:{block.lines[i]}"):
            continue
        plain[i] = False
        record = block.record(i)
        for one in [record] if isinstance(record, Rejected) else of.rows(record, texts, split=split):
            if isinstance(one, Rejected):
                yield one
            else:
                rows.append(one)
                behind.append(i)
    table = table.where(plain[places])
    if columns is not None:
        _check_spelling(block, columns, plain, of)
        if of.ranked and "score" in columns:
            judged = columns["score"].to_numpy(zero_copy_only=False)[plain]
            of.fractional += int(((np.abs(judged) < 2**53) & (judged != np.trunc(judged))).sum())
    if len(table) or rows:
        order = np.argsort(np.concatenate([places[plain[places]], np.array(behind, np.int64)]), kind="stable")
        yield joined(Row, [table, Records.of(Row, rows)]).take(order) if rows else table


def _said(table: Rows, of: ColumnMap, places: Int[np.ndarray, " P"]) -> dict[int, tuple[Any, ...]]:
    """By place what a plain record says of ids and a pair, where another may say otherwise."""
    if not of.ranked or not (of.one["query_id"] or of.one["document_id"] or of.one["score"]):
        return {}
    names = ("query_id", "query", "document_id", "document", "score")
    return dict(zip(places.tolist(), zip(*(table.columns[name].to_pylist() for name in names), strict=True), strict=True))


def _consistent(
    of: ColumnMap, query_id: str, query: str, document_id: str, document: str, score: float | None, *, where: str
) -> bool:
    """Whether nothing else was said before of these ids and of the pair."""
    try:
        of.check(query_id, query, document_id, document, score, where)
    except ValueError:
        return False
    return True


def _plain_columns(block: Block, of: ColumnMap) -> dict[str, pa.Array] | None:
    """By role the columns of ``block``; None where a record is more than one text each, or a column is of another type."""
    kind = of.of.kind
    if of.by_id or of.one["conversation"] or kind.shape == "labelled" or kind.score == "binary":
        return None
    if any(of.several[role] for role in ("negative", "negative_id")) or any(len(names) > 1 for names in of.several.values()):
        return None
    columns: dict[str, pa.Array] = {}
    for role in ("query", "document", "score", *NAMES):
        if (name := of.one[role]) is None:
            continue
        column = block.columns.get(name)
        if column is None:
            return None
        numbers = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
        whole_names = role in NAMES and pa.types.is_integer(column.type)
        if not (numbers if role == "score" else _is_text(column) or whole_names):
            return None
        columns[role] = column.cast(pa.float64(), safe=False) if role == "score" else column.cast(pa.large_string())
    return columns


def _plain(columns: Mapping[str, pa.Array]) -> Bool[np.ndarray, " N"]:
    """Which records are plain. Only what ASCII shows is taken for something to see."""
    found = pa.array(np.ones(len(columns["query"]), bool))
    for side in ("query", "document"):
        found = compute.and_(found, _true(compute.match_substring_regex(columns[side], "[!-~]")))
    listed = compute.and_(compute.starts_with(columns["document"], "["), compute.ends_with(columns["document"], "]"))
    found = compute.and_(found, compute.invert(_true(listed)))
    if "score" in columns:
        found = compute.and_(found, _true(compute.is_finite(columns["score"])))
    for role in ("query_id", "document_id", "group"):
        if role in columns:
            named = _true(compute.match_substring_regex(columns[role], "[!-~]"))
            nameless = compute.or_(columns[role].is_null(), _true(compute.equal(columns[role], "")))
            found = compute.and_(found, compute.or_(named, nameless) if role == "group" else named)
    if "split" in columns:
        found = compute.and_(found, compute.is_in(columns["split"], pa.array([*SPLITS, "", None], pa.large_string())))
    return found.to_numpy(zero_copy_only=False)


def _true(mask: pa.Array) -> pa.Array:
    return compute.fill_null(mask, False)


def _check_spelling(block: Block, columns: Mapping[str, pa.Array], plain: Bool[np.ndarray, " N"], of: ColumnMap) -> None:
    """ValueError where one number is spelled in two ways."""
    for role in ("group", "query_id", "document_id"):
        if role not in columns:
            continue
        numbers = compute.and_(_true(compute.match_substring_regex(columns[role], r"^-?[0-9]+(\.0+)?$")), pa.array(plain))
        own = np.flatnonzero(numbers.to_numpy(zero_copy_only=False))
        number, names = coded(columns[role].take(pa.array(own)))
        for name, first in zip(names, np.unique(number, return_index=True)[1].tolist(), strict=True):
            if fault := of.known.misspelled(role, name, f"{block.file}:{block.lines[int(own[first])]}"):
                raise ValueError(fault)


def _rows(columns: Mapping[str, pa.Array], of: ColumnMap, split: Split | None) -> Rows:
    """Plain records as rows."""
    if not columns:
        return Records.of(Row, [])
    nothing = pa.nulls(len(columns["query"]), pa.large_string())
    found: dict[str, Any] = dict.fromkeys(types(Row), nothing)
    for side in ("query", "document"):
        found[side] = columns[side]
        ids = columns.get(f"{side}_id")
        found[f"{side}_id"] = pa.array(map(content_id, columns[side].to_pylist()), pa.large_string()) if ids is None else ids
    for role in ("group", "split"):
        if role in columns:
            found[role] = compute.if_else(compute.equal(columns[role], ""), None, columns[role])
    if split is not None:
        found["split"] = compute.fill_null(found["split"], split)
    found["score"] = columns.get("score", pa.nulls(len(nothing), pa.float64()))
    if of.ranked and "score" in columns:
        found["score"] = compute.if_else(compute.less_equal(columns["score"], of.relevant_above), 0.0, columns["score"])
    found["task"] = pa.repeat(pa.scalar(of.of.task, pa.large_string()), len(nothing))
    found["kind"] = pa.repeat(pa.scalar(of.of.named, pa.large_string()), len(nothing)) if of.of.named else nothing
    return Records(Row, found)
