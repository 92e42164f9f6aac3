"""Blocks of records give the rows that `ColumnMap.rows` gives record by record, whatever is in them."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus import blocks
from pipeline.corpus.cells import Tally
from pipeline.corpus.mapping import ColumnMap
from pipeline.corpus.reading import read_cells
from pipeline.corpus.row import Rejected
from pipeline.corpus.task_rows import TaskRows
from pipeline.source.table import Table

TEXTS = ["hello there", "x", "", None, " ", "é", "日本", "\u200b", '["a", "b"]', "[a]", "dup", "dup", "a\nb", "\x07"]
NAMES = ["1", "7", "a", "b", "007", "", None, " ", "é"]
FORM = {"delimiter": None, "quoting": True, "encoding": None, "sheet": None}
MAPS = [
    ("retrieval", {"query": "q", "document": "d"}),
    ("retrieval", {"query": "q", "document": "d", "group": "g", "split": "s"}),
    ("retrieval", {"query": "q", "document": "d", "query_id": "i", "document_id": "j"}),
    ("retrieval", {"query": "q", "document": "d", "document_id": "j", "score": "n"}),
    ("retrieval", {"query": "q", "document": "d", "negative": "g"}),
    ("sts", {"query": "q", "document": "d", "score": "n", "group": "g"}),
    ("same_class", {"query": "q", "document": "g"}),
]


def records(seed, count=200):
    draw = random.Random(seed)
    return [
        {
            "q": draw.choice(TEXTS),
            "d": draw.choice(TEXTS),
            "g": draw.choice(NAMES),
            "i": f"i{draw.randrange(99)}",
            "j": f"j{draw.randrange(99)}",
            "n": draw.choice([0.0, 1.0, 2.5, 0.2, None]),
            "s": draw.choice(["train", "test", None, ""]),
        }
        for _ in range(count)
    ]


def table(columns, path, task="retrieval"):
    whole = {"root": None, "kind": None, "split": None, "documents": None, "relevant_above": 0.0}
    return Table(path=path, columns=columns, task=task, **whole, **FORM)


def write_as(form, found, path):
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(found), path, row_group_size=70)
        return
    lines = [
        json.dumps(one if k % 17 else one | {"d": ["two", "texts"], "q": [3, "\ud800"][k % 2]}) for k, one in enumerate(found)
    ]
    path.write_text("\n".join([*lines[:5], "{broken", *lines[5:]]), encoding="utf-8")


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
@pytest.mark.parametrize(("task", "columns"), MAPS)
def test_blocks_give_what_the_records_give_one_by_one(task, columns, form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(blocks, "BLOCK_RECORDS", 64)
    write_as(form, records(len(columns)), tmp_path / f"t.{form}")
    alone = ColumnMap(columns, of=TaskRows(task, None), by_id=False, split=None, relevant_above=0.0)
    tally = Tally()
    expected = []
    for cells in read_cells(tmp_path / f"t.{form}", file=f"t.{form}", needed=alone.needed, tally=tally, **FORM):
        expected += [cells] if isinstance(cells, Rejected) else alone.rows(cells, {})
    source = table(columns, f"t.{form}", task)
    found = list(source.read())
    for rejected in (False, True):  # the two go into files of their own, each in the order of the table
        assert [one for one in found if isinstance(one, Rejected) is rejected] == [
            one for one in expected if isinstance(one, Rejected) is rejected
        ]
    assert (tally.records, tally.lines, tally.size) == (
        source.tallies[0].records,
        source.tallies[0].lines,
        source.tallies[0].size,
    )
    assert source.map.fractional == alone.fractional
    assert len(found) > 50


def test_one_number_in_two_spellings_is_refused_where_it_first_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"q": ["a", "b", "c"], "d": ["x", "y", "z"], "g": ["7", "a", "7.0"]}), "t.parquet")
    columns = {"query": "q", "document": "d", "group": "g"}
    with pytest.raises(ValueError, match=r"t.parquet:3: group '7.0' is '7' at t.parquet:1: one number in two spellings"):
        list(table(columns, "t.parquet").read())


def test_a_text_that_is_no_utf8_costs_its_row_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    broken = pa.array([b"fine", b"\xff", b"good"]).view(pa.string())
    pq.write_table(pa.table({"q": broken, "d": ["x", "y", "z"]}), "t.parquet")
    found = list(table({"query": "q", "document": "d"}, "t.parquet").read())
    assert [one.query for one in found if not isinstance(one, Rejected)] == ["fine", "good"]
    assert [(one.line, one.reason) for one in found if isinstance(one, Rejected)] == [(2, "not valid UTF-8")]


ODD = [7, 7.0, 7.5, True, ["a"], {"x": "a"}, "a", "", " ", None, "\ud800"]


@pytest.mark.parametrize("role", ["group", "split", "query_id"])
@pytest.mark.parametrize("path", ["g", "m.g"])
def test_a_name_that_is_no_text_is_read_as_it_is_record_by_record(role, path, tmp_path, monkeypatch):
    """A number, a list, a path into a record, a key that is not there: none of these is taken for a name that was left empty."""
    monkeypatch.chdir(tmp_path)
    found = [
        {"q": f"question {k}", "d": f"answer {k}", "g": value, "m": {"g": value}} for k, value in enumerate([*ODD, "test"])
    ]
    lines = [json.dumps(one) for one in [*found, {"q": "question", "d": "answer"}]]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    columns = {"query": "q", "document": "d", role: path}
    alone = ColumnMap(columns, of=TaskRows("retrieval", None), by_id=False, split=None, relevant_above=0.0)
    expected = []
    for cells in read_cells(tmp_path / "t.jsonl", file="t.jsonl", needed=alone.needed, tally=Tally(), **FORM):
        expected += [cells] if isinstance(cells, Rejected) else alone.rows(cells, {})
    read = list(table(columns, "t.jsonl").read())
    for rejected in (False, True):
        assert [one for one in read if isinstance(one, Rejected) is rejected] == [
            one for one in expected if isinstance(one, Rejected) is rejected
        ]
