"""A few of the cases that `benchmarks/punish.py` has by thousands."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from pipeline.checkpoint import whole_directory, write_json
from pipeline.corpus.files import write
from pipeline.corpus.row import Row

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import hostile_models
import punish
import punish_workspace


@pytest.fixture(autouse=True)
def back(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_end_in_a_message_a_counted_drop_or_their_rows(tmp_path):
    outcomes = []
    for number in range(150):
        place = tmp_path / str(number)
        place.mkdir()
        outcomes.append((number, *punish.of_files(number, place)))
        os.chdir(tmp_path)
        shutil.rmtree(place)
    assert [one for one in outcomes if one[2] in punish.FAULTS] == []
    assert {"told", "counted drop", "accepted"} <= {one[2] for one in outcomes}


@pytest.mark.filterwarnings("ignore")
def test_hostile_models_end_in_a_message_or_in_vectors(tmp_path):
    outcomes = []
    hostile_models.bases(tmp_path / "models")
    for number in range(25):
        place = tmp_path / "case"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        outcomes.append((number, *punish.of_models(number, place)))
        os.chdir(tmp_path)
    assert [one for one in outcomes if one[2] in punish.FAULTS] == []
    assert {"told", "accepted"} <= {one[2] for one in outcomes}


def test_flipped_bits_are_named(tmp_path, tiny_encoder):
    workspace = tmp_path / "run"
    with whole_directory(workspace / "checkpoints/base") as folder:
        tiny_encoder().save(folder)
    with whole_directory(workspace / "data/raw") as folder:
        (folder / "x").mkdir()
        write(folder / "x/rows.parquet", Row, [Row("retrieval", f"q{i}", f"a {i}", f"d{i}", f"b {i}") for i in range(9)])
        write_json(folder / "x/card.json", {"rows": 9})
    outcomes = list(punish_workspace.flips(workspace, tmp_path / "punished", range(40)))
    assert {one[2] for one in outcomes} <= {"named by its reader", "named by verify"}
    assert sum(one[2] == "named by its reader" for one in outcomes) > 30


def test_a_fault_is_found_where_there_is_one(tmp_path):
    """The judge itself: a row of two records, a good record changed, and one that is gone."""
    from hostile_files import Case, faults, record

    from pipeline.corpus.row import Rejected

    def row(n, m):
        return Row("retrieval", "q", record(n)["q"], "d", record(m)["d"])

    case = Case("x", {}, 3, {2}, whole=True)
    good = [row(0, 0), row(1, 1)]
    assert list(faults(case, good, (Row, Rejected))) == []
    assert list(faults(case, [row(0, 0), Rejected("x", 2, "why")], (Row, Rejected))) == []
    for bad, told in (
        ([row(0, 1), row(1, 1)], "a row of records [0, 1]"),
        ([row(0, 0)], "1 good records are gone, 0 lines"),
        ([row(0, 0), row(1, 1), Rejected("x", 2, "")], "without a reason"),
        ([row(0, 0), Row("retrieval", "q", "what is q1. of", "d", record(1)["d"])], "record 1 became"),
    ):
        assert any(told in one for one in faults(case, bad, (Row, Rejected))), told
