"""Parts that people write row by row are asked as they were when rows were objects everywhere."""

from dataclasses import replace
from typing import Any

import pytest

import pipeline.curation.data as curation
from pipeline.corpus.records import Records
from pipeline.corpus.row import Row
from pipeline.source.table import Table
from pipeline.stage.ingest import _gathered  # pyright: ignore[reportPrivateUsage]

DEALT: Any = curation._dealt  # pyright: ignore[reportPrivateUsage]
ROWS = [Row("retrieval", f"q{i}", f"question {i}", f"d{i}", f"answer {i}", group="ba"[i % 2]) for i in range(4)]


def test_a_split_gives_each_row_its_split_in_the_order_given():
    rows = Records.of(Row, ROWS)
    found = DEALT(lambda every: [replace(row, split="test" if row.group == "a" else "train") for row in every], rows)
    assert [row.split for row in found] == ["train", "test", "train", "test"]


@pytest.mark.parametrize("kept", [lambda rows: sorted(rows, key=lambda row: row.group), lambda rows: rows[1:]])
def test_a_split_that_orders_or_drops_rows_is_told(kept):
    with pytest.raises(ValueError, match="expected every row, in the order given"):
        DEALT(lambda every: [replace(row, split="train") for row in kept(every)], Records.of(Row, ROWS))


def test_a_source_that_reads_otherwise_than_the_one_it_is_made_of_is_read_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("q,d\na b,c d\n")

    class Louder(Table):
        def read(self):
            for one in super().read():
                yield replace(one, query=one.query.upper()) if isinstance(one, Row) else one

    form = {"delimiter": None, "quoting": True, "encoding": None, "sheet": None, "documents": None, "relevant_above": 0.0}
    settings = {"path": "t.csv", "columns": {"query": "q", "document": "d"}, "task": "retrieval", "kind": None, "root": None}
    for source, expected in ((Table, "a b"), (Louder, "A B")):
        rows, _, _ = _gathered("t", source(**settings, split=None, **form))
        assert [row.query for row in rows] == [expected]
