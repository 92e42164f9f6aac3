import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.cells import Cells, excerpt
from pipeline.corpus.mapping import ColumnMap
from pipeline.corpus.place import found, inside, plain_or_packed, shards, shown
from pipeline.corpus.reading import read_cells
from pipeline.corpus.row import Rejected, Row
from pipeline.corpus.settings import ROLES, checked_columns, checked_splits
from pipeline.corpus.task_rows import TaskRows
from pipeline.corpus.values import content_id
from pipeline.spelling import nearest

COLUMNS = {"query": "q", "document": "d"}


def cells_of(path, *, needed=("q", "d"), delimiter=None, quoting=False):
    return list(read_cells(path, file=path.name, needed=needed, delimiter=delimiter, quoting=quoting))


# Where files may lie


def test_a_path_lies_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert inside("data/x.csv", None) == tmp_path / "data/x.csv"
    assert shown(inside("data/x.csv", None), None) == "data/x.csv"


def test_a_path_lies_below_the_root_where_one_is_given(tmp_path):
    path = inside("x.csv", str(tmp_path))
    assert path == tmp_path / "x.csv"
    assert shown(path, str(tmp_path)) == "x.csv"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.csv", "data/../../x.csv", ""])
@pytest.mark.parametrize("root", [None, "somewhere"])
def test_a_path_that_leaves_its_folder_is_refused(path, root):
    with pytest.raises(ValueError, match=r"path must be relative and must not contain '\.\.'"):
        inside(path, root)


@pytest.mark.parametrize(("path", "root"), [("~/x.csv", None), ("x.csv", "~"), ("data/x.csv", "~/some")])
def test_a_path_may_begin_at_home(tmp_path, monkeypatch, path, root):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    expected = tmp_path / "me" / (f"{root}/".removeprefix("~/") + path.removeprefix("~/") if root else path.removeprefix("~/"))
    assert inside(path, root) == expected
    assert shown(inside(path, root), root) == path


def test_a_path_that_leaves_home_is_refused():
    with pytest.raises(ValueError, match=r"must not contain '\.\.'"):
        inside("~/../x.csv", None)


def test_an_empty_root_is_refused_because_it_is_an_unset_variable():
    with pytest.raises(ValueError, match="is the environment variable it is read from set"):
        inside("x.csv", " ")


def test_a_missing_file_is_told_with_the_place_and_the_nearest_name(tmp_path):
    (tmp_path / "pairs.csv").write_text("q,d\n")
    with pytest.raises(ValueError, match=r"found nothing there .*did you mean 'pairs.csv'\?.*dvc pull"):
        found(tmp_path / "pars.csv")


def test_in_a_copy_for_an_experiment_the_way_to_take_the_data_along_is_told(tmp_path):
    folder = tmp_path / ".dvc/tmp/exps/tmpabc"
    folder.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"DVC's copy of what git tracks.*--copy-paths data/source/NAME"):
        found(folder / "data/source/x.csv")


def test_a_missing_folder_is_told_by_the_last_one_that_exists(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path} exists, 'no' is not in it"):
        found(tmp_path / "no" / "such" / "file.csv")


def test_the_gzipped_file_is_found_by_its_plain_name_and_both_are_an_error(tmp_path):
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(b"q\td\n"))
    assert plain_or_packed(tmp_path / "x.tsv") == tmp_path / "x.tsv.gz"
    (tmp_path / "x.tsv").write_text("q\td\n")
    with pytest.raises(ValueError, match="found both"):
        plain_or_packed(tmp_path / "x.tsv")


def test_shards_are_sorted_and_other_files_are_passed_over(tmp_path):
    for name in ("b.jsonl.gz", "a.csv", "README.md", ".hidden.csv", "c.parquet"):
        (tmp_path / name).touch()
    assert [path.name for path in shards(tmp_path)] == ["a.csv", "b.jsonl.gz", "c.parquet"]


def test_a_folder_without_data_files_is_an_error(tmp_path):
    (tmp_path / "README.md").touch()
    with pytest.raises(ValueError, match=r"expected data files in .*found none"):
        shards(tmp_path)


# Configuration


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("querry", ["query", "document"]) == " (did you mean 'query'?)"
    assert nearest("xyz", ["query", "document"]) == ""


def test_an_unknown_role_is_an_error_with_the_nearest_known_one():
    with pytest.raises(ValueError, match=r"unknown role 'documnt'.*did you mean 'document'"):
        checked_columns({"query": "q", "documnt": "d"}, required=("query",), known=ROLES)


def test_a_required_role_without_a_column_is_an_error():
    with pytest.raises(ValueError, match="must name the column of 'document', got None"):
        checked_columns({"query": "q"}, required=("query", "document"), known=ROLES)


def test_splits_come_in_their_own_order_and_may_have_several_parts():
    parts = checked_splits("splits", {"test": ["a", "b"], "validation": None, "train": "train"})
    assert parts == [("train", "train"), ("test", "a"), ("test", "b")]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"trian": "train"}, "unknown split 'trian'.*did you mean 'train'"),
        ({"train": None}, "at least one split"),
        ({}, "at least one"),
    ],
)
def test_splits_that_name_nothing_known_are_an_error(parts, message):
    with pytest.raises(ValueError, match=message):
        checked_splits("splits", parts)


# Formats


def test_the_same_records_are_read_from_every_format(tmp_path):
    values = [{"q": "one", "d": "first, and"}, {"q": "zwei", "d": "über"}]
    (tmp_path / "x.jsonl").write_text('{"q": "one", "d": "first, and"}\n\n{"q": "zwei", "d": "\\u00fcber"}\n')
    (tmp_path / "x.csv").write_text('q,d\none,"first, and"\nzwei,über\n')
    (tmp_path / "x.tsv").write_text("\ufeffq\td\r\none\tfirst, and\r\nzwei\tüber\r\n")
    (tmp_path / "y.tsv.gz").write_bytes(gzip.compress("q\td\none\tfirst, and\nzwei\tüber".encode()))
    pq.write_table(pa.Table.from_pylist(values), tmp_path / "x.parquet")
    for name in ("x.jsonl", "x.csv", "x.tsv", "y.tsv.gz", "x.parquet"):
        assert [record.values for record in cells_of(tmp_path / name, quoting=name == "x.csv")] == values, name


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    (tmp_path / "x.csv").write_text('q,d\n"two\nlines",d1\nq2,d2\n')
    assert [(record.line, record.values["q"]) for record in cells_of(tmp_path / "x.csv", quoting=True)] == [
        (2, "two\nlines"),
        (4, "q2"),
    ]


def test_without_quoting_a_quote_is_a_plain_character(tmp_path):
    (tmp_path / "x.tsv").write_text('q\td\n"a\tb\nc\td"\n')
    assert [record.values for record in cells_of(tmp_path / "x.tsv")] == [{"q": '"a', "d": "b"}, {"q": "c", "d": 'd"'}]


def test_an_open_quote_is_rejected_where_it_stands(tmp_path):
    (tmp_path / "x.csv").write_text('q,d\na,b\nc,"d\n')
    good, bad = cells_of(tmp_path / "x.csv", quoting=True)
    assert good.values == {"q": "a", "d": "b"}
    assert isinstance(bad, Rejected)
    assert bad.line == 3
    assert "is a quote left open" in bad.reason


def test_a_broken_byte_costs_its_own_record_only(tmp_path):
    (tmp_path / "x.tsv").write_bytes(b"q\td\na\tb\nc\t\xff\ne\tf\n")
    (tmp_path / "x.csv").write_bytes(b"q,d\na,b\nc,\xff\ne,f\n")
    (tmp_path / "x.jsonl").write_bytes(b'{"q": "a", "d": "b"}\n{"q": "c", "d": "\xff"}\n{"q": "e", "d": "f"}\n')
    for name in ("x.tsv", "x.csv", "x.jsonl"):
        first, bad, last = cells_of(tmp_path / name, quoting=name == "x.csv")
        assert isinstance(bad, Rejected)
        assert (bad.file, bad.reason) == (name, "not valid UTF-8")
        assert (first.values["q"], last.values["q"]) == ("a", "e")
        bad.text.encode()  # it must fit into a Parquet file


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"q": "a"', "not valid JSON"),
        ("[1, 2]", "expected a JSON object, got list"),
        ("null", "expected a JSON object, got NoneType"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_line_that_is_no_json_object_is_rejected(tmp_path, line, reason):
    (tmp_path / "x.jsonl").write_text(f'{line}\n{{"q": "a", "d": "b"}}\n')
    bad, good = cells_of(tmp_path / "x.jsonl")
    assert bad.line == 1
    assert bad.reason.startswith(reason)
    assert good.line == 2


def test_a_record_with_too_few_or_many_fields_is_rejected(tmp_path):
    (tmp_path / "x.tsv").write_text("q\td\na\nb\tc\td\n")
    assert [record.reason for record in cells_of(tmp_path / "x.tsv")] == [
        "expected 2 fields as in the header, got 1",
        "expected 2 fields as in the header, got 3",
    ]


def test_a_column_that_is_not_in_the_header_is_an_error_with_the_nearest_one(tmp_path):
    (tmp_path / "x.tsv").write_text("query\tdoc\n")
    pq.write_table(pa.table({"query": ["a"], "doc": ["b"]}), tmp_path / "x.parquet")
    for name in ("x.tsv", "x.parquet"):
        with pytest.raises(
            ValueError, match=rf"{name}: expected a column 'docs', found 'query', 'doc' \(did you mean 'doc'\?\)"
        ):
            cells_of(tmp_path / name, needed=("query", "docs"))


def test_a_column_that_stands_twice_in_the_header_is_an_error(tmp_path):
    (tmp_path / "x.tsv").write_text("q\td\td\na\tb\tc\n")
    with pytest.raises(ValueError, match="'d' stands 2 times"):
        cells_of(tmp_path / "x.tsv")


def test_an_empty_file_is_an_error_because_it_has_no_header(tmp_path):
    (tmp_path / "x.csv").touch()
    for quoting in (True, False):
        with pytest.raises(ValueError, match="expected a column 'q'"):
            cells_of(tmp_path / "x.csv", quoting=quoting)


def test_a_damaged_archive_is_an_error_that_names_the_file(tmp_path):
    packed = gzip.compress(b"q\td\n" + b"a\tb\n" * 100)
    (tmp_path / "cut.tsv.gz").write_bytes(packed[:-12])
    (tmp_path / "none.tsv.gz").write_bytes(b"plain text")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but not really PAR1")
    for name in ("cut.tsv.gz", "none.tsv.gz", "bad.parquet"):
        with pytest.raises(ValueError, match=rf"{name} is a damaged"):
            cells_of(tmp_path / name)


@pytest.mark.parametrize("name", ["x.txt", "x", "x.parquet.gz"])
def test_a_file_of_unknown_kind_is_an_error(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected a file ending in \.jsonl"):
        cells_of(tmp_path / name)


# From cells to rows


def row_of(values, **columns):
    settings = {"of": TaskRows("weak", None), "split": None, "relevant_above": 0, "by_id": False}
    (row,) = ColumnMap(COLUMNS | columns, **settings).rows(Cells("x.jsonl", 7, values), {})
    return row


def test_every_role_is_taken_from_its_column():
    values = {"q": "a", "d": "b", "s": 2, "g": 5, "p": "test", "i": "q1", "j": 12}
    row = row_of(values, score="s", group="g", split="p", query_id="i", document_id="j")
    assert row == Row("weak", "q1", "a", "12", "b", 2.0, "test", "5")


def test_ids_without_a_column_depend_on_the_text_alone():
    first, second = row_of({"q": "a", "d": "same"}), row_of({"q": "other", "d": "same"})
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.document_id == second.document_id == content_id("same")
    assert first.query_id != second.query_id
    assert len(content_id("same")) == 16


def test_an_empty_group_or_split_means_none_and_leaves_the_fixed_split():
    columns = ColumnMap(
        COLUMNS | {"group": "g", "split": "p"}, of=TaskRows("weak", None), split="test", relevant_above=0, by_id=False
    )
    (row,) = columns.rows(Cells("x", 1, {"q": "a", "d": "b", "g": "", "p": None}), {})
    assert isinstance(row, Row)
    assert (row.group, row.split) == (None, "test")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"q": "a"}, "no 'd' in this record, found 'q'"),
        ({"q": "a", "d": None}, r"'d' must hold a text, got None \(NoneType\)"),
        ({"q": 5, "d": "b"}, r"'q' must hold a text, got 5 \(int\)"),
        ({"q": ["a"], "d": "b"}, r"'q' must hold a text, got \['a'\] \(list\)"),
        ({"q": "  ", "d": "b"}, "empty query"),
        ({"q": "a\ud800", "d": "b"}, "'q' holds half of a surrogate pair"),
    ],
)
def test_a_record_without_its_texts_is_rejected(values, reason):
    rejected = row_of(values)
    assert isinstance(rejected, Rejected)
    assert (rejected.file, rejected.line) == ("x.jsonl", 7)
    with pytest.raises(ValueError, match=reason):
        raise ValueError(rejected.reason)
    rejected.text.encode()


@pytest.mark.parametrize("score", [None, True, "", "high", [1], float("nan"), float("inf"), "nan", 10**400])
def test_a_score_that_is_no_finite_number_is_rejected(score):
    rejected = row_of({"q": "a", "d": "b", "s": score}, score="s")
    assert isinstance(rejected, Rejected)
    assert "number" in rejected.reason


@pytest.mark.parametrize(("score", "number"), [(3, 3.0), ("4.5", 4.5), (0.0, 0.0)])
def test_a_number_counts_as_a_score_however_it_is_written(score, number):
    row = row_of({"q": "a", "d": "b", "s": score}, score="s")
    assert isinstance(row, Row)
    assert row.score == number


@pytest.mark.parametrize("label", [None, "", " ", True, 1.5, ["x"]])
def test_an_id_that_is_no_name_is_rejected(label):
    rejected = row_of({"q": "a", "d": "b", "i": label}, query_id="i")
    assert isinstance(rejected, Rejected)
    assert "'i' must hold" in rejected.reason


def test_an_unknown_split_in_a_record_is_rejected():
    rejected = row_of({"q": "a", "d": "b", "p": "dev"}, split="p")
    assert isinstance(rejected, Rejected)
    assert "one of train, validation, test, got 'dev'" in rejected.reason


def test_an_excerpt_is_short_and_can_be_written():
    assert len(excerpt("x" * 1000)) == 200
    assert excerpt("a\udcffb") == "a?b"
