import gzip
import inspect
import json
from pathlib import Path

import pytest
import yaml

from pipeline.corpus.row import Rejected, Row
from pipeline.corpus.settings import ROLES
from pipeline.source.table import Table

CONF = Path(__file__).parents[2] / "conf/source/table.yaml"
SETTINGS = {
    "root": None,
    "columns": {"query": "question", "document": "answer"},
    "task": "retrieval",
    "kind": None,
    "split": None,
    "delimiter": None,
    "quoting": True,
    "encoding": None,
    "sheet": None,
    "documents": None,
    "relevant_above": 0,
}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(path, **changes):
    return list(Table(path=path, **(SETTINGS | changes)).read())


def test_the_yaml_names_every_argument_and_every_role():
    conf = yaml.safe_load(CONF.read_text())
    assert conf.pop("_target_") == "pipeline.source.table.Table"
    assert set(conf) == set(inspect.signature(Table).parameters)
    assert set(conf["columns"]) == set(ROLES)
    Table(**(conf | {"path": "pairs.csv"}))


def test_pairs_become_rows_in_file_order(workspace):
    (workspace / "pairs.csv").write_text("question,answer,extra\nwhy?,because,1\nhow?,so,2\n")
    rows = read("pairs.csv", split="test")
    assert [(row.query, row.document, row.task, row.split, row.score) for row in rows] == [
        ("why?", "because", "retrieval", "test", None),
        ("how?", "so", "retrieval", "test", None),
    ]


def test_a_folder_is_read_shard_by_shard(workspace):
    (workspace / "shards").mkdir()
    (workspace / "shards/2.csv").write_text("question,answer\nsecond,b\n")
    (workspace / "shards/1.jsonl.gz").write_bytes(gzip.compress(b'{"question": "first", "answer": "a"}\n'))
    assert [row.query for row in read("shards")] == ["first", "second"]


def test_graded_pairs_carry_score_group_and_split_of_their_columns(workspace):
    record = {"question": "a", "answer": "b", "s": 4, "g": "topic", "p": "validation"}
    (workspace / "pairs.jsonl").write_text(json.dumps(record))
    columns = SETTINGS["columns"] | {"score": "s", "group": "g", "split": "p"}
    (row,) = read("pairs.jsonl", columns=columns, task="sts")
    assert (row.score, row.group, row.split, row.task) == (4.0, "topic", "validation", "sts")


def test_bad_records_are_rejected_with_their_place_and_the_good_ones_stay(workspace):
    lines = [
        b'{"question": "q1", "answer": "a1", "s": 1}',
        b'{"question": "q2"}',
        b'{"question": 3, "answer": "a3", "s": 1}',
        b"{broken",
        b'{"question": "q5", "answer": "\xfe", "s": 1}',
        b'{"question": "q6", "answer": "", "s": 1}',
        b'{"question": "q7", "answer": "a7", "s": NaN}',
        b'{"question": "q8", "answer": "a8", "s": 2}',
    ]
    (workspace / "data").mkdir()
    (workspace / "data/pairs.jsonl").write_bytes(b"\n".join(lines))
    records = read("data/pairs.jsonl", columns=SETTINGS["columns"] | {"score": "s"})
    rejected = [record for record in records if isinstance(record, Rejected)]
    assert [record.query for record in records if isinstance(record, Row)] == ["q1", "q8"]
    assert [record.line for record in rejected] == [2, 3, 4, 5, 6, 7]
    assert {record.file for record in rejected} == {"data/pairs.jsonl"}
    for record, reason in zip(
        rejected,
        ["no 'answer'", "must hold a text", "not valid JSON", "not valid UTF-8", "empty document", "score is nan"],
        strict=True,
    ):
        assert reason in record.reason


def test_a_misspelt_column_is_an_error_that_tells_the_right_one(workspace):
    (workspace / "pairs.tsv").write_text("question\tanswers\nq\ta\n")
    with pytest.raises(ValueError, match=r"pairs\.tsv: expected a column 'answer'.*did you mean 'answers'"):
        read("pairs.tsv")


def test_a_misspelt_role_is_an_error_that_tells_the_right_one():
    with pytest.raises(ValueError, match=r"unknown role 'querry'.*did you mean 'query'"):
        read("pairs.tsv", columns={"querry": "question", "document": "answer"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "retreival"},
            r"'retreival' is no kind of task \(did you mean 'retrieval'\?\); expected one of retrieval, sts, .*a name of your own",
        ),
        ({"split": "dev"}, "split must be null or one of train, validation, test, got 'dev'"),
        ({"split": "test", "columns": SETTINGS["columns"] | {"split": "p"}}, "expected one of them"),
        ({"delimiter": "||"}, "delimiter must be one character"),
    ],
)
def test_a_wrong_setting_is_an_error_before_anything_is_read(changes, message):
    with pytest.raises(ValueError, match=message):
        Table(path="pairs.csv", **(SETTINGS | changes))


def test_a_missing_file_is_an_error_that_says_where_it_was_looked_for(workspace):
    with pytest.raises(ValueError, match=rf"expected data at {workspace}/pairs\.csv, found nothing there"):
        read("pairs.csv")


def test_a_path_out_of_the_workspace_needs_a_root(workspace, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "pairs.csv").write_text("question;answer\nq;a\n")
    with pytest.raises(ValueError, match="path must be relative"):
        read(str(elsewhere / "pairs.csv"))
    (row,) = read("pairs.csv", root=str(elsewhere), delimiter=";")
    assert row.document == "a"


def test_reading_twice_gives_the_same_rows(workspace):
    (workspace / "pairs.csv").write_text("question,answer\nq1,a1\nq2,a2\n")
    source = Table(path="pairs.csv", **SETTINGS)
    assert list(source.read()) == list(source.read())


def test_rows_of_a_task_of_any_name_say_their_kind_and_have_what_it_asks_for(workspace):
    (workspace / "p.csv").write_text("question,answer,s\na,b,1\nc,d,0.5\n")
    rows = read("p.csv", task="same", kind="pair_classification", columns=SETTINGS["columns"] | {"score": "s"})
    row, bad = sorted(rows, key=lambda one: isinstance(one, Rejected))
    assert (row.task, row.kind) == ("same", "pair_classification")
    assert "score is 0.5, expected 0 or 1 (task same: two texts and 1 if they mean the same, 0 if not)" in bad.reason
    with pytest.raises(ValueError, match="must name the column of 'score'"):
        read("p.csv", task="same", kind="pair_classification")
    (labelled,) = read("p.csv", task="topic", kind="classification")[:1]
    assert (labelled.kind, labelled.group) == ("classification", labelled.query_id)
    assert read("p.csv")[0].kind is None
