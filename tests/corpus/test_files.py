import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.files import Dropped, Negative, corpora, read, read_rows, write
from pipeline.corpus.row import Document, Rejected, Row

ROWS = [
    Row("retrieval", "q1", "why?", "d1", "because\nof ünïcode \U0001f600", None, "train", "g"),
    Row("sts", "q2", "!", "d2", " spaces x ", 0.1 + 0.2, None, None),
    Row("sts", "q3", "a", "d3", "b", -4, "test", ""),
]


@pytest.mark.parametrize(
    ("kind", "records"),
    [
        (Row, ROWS),
        (Document, [Document("d", "text"), Document("e", "text", "test", "g")]),
        (Rejected, [Rejected("a.csv", 12, "empty query", "x"), Rejected("a.csv", 0, "no header")]),
        (Dropped, [Dropped("corpus", "sts", "repeated pair", "q | d", "a", "b")]),
        (Negative, [Negative("q", "d", 3, "retrieval")]),
    ],
)
def test_records_come_back_as_they_were_written(tmp_path, kind, records):
    write(tmp_path / "file", kind, iter(records))
    assert read(tmp_path / "file", kind) == records


def test_no_records_are_a_table_with_the_same_columns_and_types(tmp_path):
    write(tmp_path / "none", Row, [])
    write(tmp_path / "some", Row, ROWS)
    assert read(tmp_path / "none", Row) == []
    assert pq.read_schema(tmp_path / "none") == pq.read_schema(tmp_path / "some")


def test_a_column_that_is_empty_everywhere_keeps_its_type(tmp_path):
    write(tmp_path / "file", Row, [ROWS[0]])
    schema = pq.read_schema(tmp_path / "file")
    assert [str(schema.field(name).type) for name in ("score", "split", "group")] == ["double", "string", "string"]


def test_equal_records_give_equal_bytes(tmp_path):
    write(tmp_path / "one", Row, ROWS)
    write(tmp_path / "two", Row, [*ROWS])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_missing_file_or_folder_says_what_makes_it(tmp_path):
    with pytest.raises(ValueError, match=r"gone.parquet is missing; run `dvc repro`"):
        read(tmp_path / "gone.parquet", Row)
    with pytest.raises(ValueError, match=r"gone is missing; run `dvc repro`"):
        corpora(tmp_path / "gone")


def test_rows_that_do_not_fit_the_schema_are_named_with_file_and_place(tmp_path):
    columns = {
        "task": ["sts"] * 2,
        "query_id": ["1", "2"],
        "query": ["a", " "],
        "document_id": ["3", "4"],
        "score": [1.0, float("nan")],
    }
    pq.write_table(pa.table(columns), tmp_path / "file")
    with pytest.raises(
        ValueError, match=r"file: expected rows of Row, found 4 faults, the first in row 0: missing document; run"
    ):
        read(tmp_path / "file", Row)
    pq.write_table(pa.table(columns | {"document": ["b", "c"]}), tmp_path / "file")
    with pytest.raises(ValueError, match=r"found 2 faults, the first in row 1: empty query; run `dvc repro`"):
        read(tmp_path / "file", Row)


def test_corpora_are_the_folders_in_order(tmp_path):
    for name in ("z", "a", "m"):
        (tmp_path / name).mkdir()
    (tmp_path / "card.json").write_text("{}")
    assert corpora(tmp_path) == ["a", "m", "z"]


def test_rows_of_a_split_come_from_every_corpus_and_only_of_the_tasks_asked_for(tmp_path):
    for name, rows in (("b", ROWS[:2]), ("a", ROWS[2:])):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "train.parquet", Row, rows)
    assert read_rows(tmp_path, "train") == [("a", ROWS[2]), ("b", ROWS[0]), ("b", ROWS[1])]
    assert read_rows(tmp_path, "train", ["sts"]) == [("a", ROWS[2]), ("b", ROWS[1])]
    assert read_rows(tmp_path, "train", []) == []
    with pytest.raises(ValueError, match=r"a/test.parquet is missing"):
        read_rows(tmp_path, "test")


def test_kind_and_thing_are_columns_only_where_some_row_has_them(tmp_path):
    write(tmp_path / "none", Row, ROWS)
    assert not {"kind", "thing"} & set(pq.read_schema(tmp_path / "none").names)
    rows = [*ROWS, Row("legal", "q4", "a", "d4", "b", kind="retrieval")]
    write(tmp_path / "kind", Row, rows)
    assert set(pq.read_schema(tmp_path / "kind").names) - set(pq.read_schema(tmp_path / "none").names) == {"kind"}
    assert read(tmp_path / "kind", Row) == rows
