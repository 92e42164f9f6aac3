from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.dropped import dropped_rows
from pipeline.corpus.files import Dropped, dropped_row, read, write
from pipeline.corpus.records import Records, filled_texts, joined, kinds, read_records, teaching, write_records
from pipeline.corpus.row import Row, filled, teaches
from pipeline.task import kind_of

ROWS = [
    Row("retrieval", "q0", "what", "d0", "that"),
    Row("sts", "q1", "日本", "d1", "é", 2.5, "train", "g", "a=b"),
    Row("legal", "q2", "a\nb", "d2", "c", 0.0, "test", None, None, "retrieval"),
]


def test_columns_read_as_the_objects_they_were_made_of():
    records = Records.of(Row, ROWS)
    assert list(records) == ROWS
    assert records == ROWS
    assert [records[i] for i in (0, -1)] == [ROWS[0], ROWS[-1]]
    assert records[1:] == ROWS[1:]
    assert records + ROWS == [*ROWS, *ROWS]
    assert records.take(np.array([2, 0])) == [ROWS[2], ROWS[0]]
    assert records != ROWS[:2]


def test_notes_go_where_the_rows_go_and_are_in_no_row():
    noted = Records.of(Row, ROWS).replaced(**{"#place": pa.array([0, 1, 2])})
    assert noted.where(np.array([True, False, True])).noted("place").tolist() == [0, 2]
    assert joined(Row, [noted, noted[:1]]).noted("place").tolist() == [0, 1, 2, 0]
    assert (noted + ROWS).noted("place") is None
    assert noted == ROWS


@pytest.mark.parametrize("rows", [[], ROWS, [replace(row, kind=None) for row in ROWS[:2]]])
def test_columns_are_written_as_the_same_bytes_that_objects_are(rows, tmp_path):
    write(tmp_path / "objects.parquet", Row, rows)
    write_records(tmp_path / "columns.parquet", Records.of(Row, rows).replaced(**{"#note": pa.array([1] * len(rows))}))
    assert (tmp_path / "columns.parquet").read_bytes() == (tmp_path / "objects.parquet").read_bytes()
    assert read_records(tmp_path / "columns.parquet", Row) == rows


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("query", ["a", " ", "c"]),
        ("score", [1.0, float("nan"), None]),
        ("split", ["tain", None, None]),
        ("task", ["sts", None, "sts"]),
    ],
)
def test_a_file_that_breaks_the_schema_is_refused_with_the_words_that_objects_are_refused_with(column, values, tmp_path):
    write(tmp_path / "rows.parquet", Row, ROWS)
    table = pq.read_table(tmp_path / "rows.parquet")
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(values, table.schema.field(column).type)), tmp_path / "rows.parquet")
    told = []
    for reader in (read, read_records):
        with pytest.raises(ValueError) as error:
            reader(tmp_path / "rows.parquet", Row)
        told.append(str(error.value))
    assert told[0] == told[1]
    with pytest.raises(ValueError, match=r"missing.parquet is missing; run `dvc repro`"):
        read_records(tmp_path / "missing.parquet", Row)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(st.sampled_from(["a", " ", "\u200b", "\ue000", "é", "\n", "\x07"]), max_size=3)))
def test_what_is_to_be_seen_is_the_same_for_a_column(texts):
    assert filled_texts(pa.array(texts, pa.large_string())).tolist() == [filled(text) for text in texts]


def test_kinds_and_what_teaches_are_those_of_the_rows():
    rows = [
        *ROWS,
        Row("retrieval", "q", "a", "d", "b", 1.0),
        Row("retrieval", "q", "a", "d", "b", 0.0),
        Row("sts", "q", "a", "d", "b", 0.0),
    ]
    records = Records.of(Row, rows)
    number, found = kinds(records)
    assert [found[i] for i in number] == [kind_of(row) for row in rows]
    assert teaching(records).tolist() == [teaches(row) for row in rows]


def test_rows_left_out_are_those_that_are_left_out_one_by_one():
    records, twins = Records.of(Row, ROWS), Records.of(Row, ROWS[::-1])
    similarity = np.array([1.0, 0.5, 0.25])
    one_by_one = [
        dropped_row("c", row, "near", twin=twin, similarity=s)
        for row, twin, s in zip(ROWS, ROWS[::-1], similarity, strict=True)
    ]
    assert dropped_rows("c", records, "near", twins=twins, similarity=similarity) == one_by_one
    assert dropped_rows("c", records, ["x", "y", "z"], ["1", "2", "3"]) == [
        Dropped("c", row.task, reason, detail, row.query, row.document)
        for row, reason, detail in zip(ROWS, "xyz", "123", strict=True)
    ]


def test_texts_beyond_2_gib_of_their_buffer_are_written(tmp_path):
    far = 2**31
    data = np.zeros(far + 4, np.uint8)  # but for its end, memory that is never touched
    data[far:] = np.frombuffer(b"abcd", np.uint8)
    starts = np.array([far, far + 1, far + 4], np.int64)
    column = pa.Array.from_buffers(pa.large_string(), 2, [None, pa.py_buffer(starts), pa.py_buffer(data)])
    records = Records.of(Row, ROWS[:2])
    write_records(tmp_path / "rows.parquet", records.replaced(query=column))
    assert [row.query for row in read(tmp_path / "rows.parquet", Row)] == ["a", "bcd"]
