from dataclasses import replace

import pytest

from pipeline.corpus.collection import collections
from pipeline.corpus.files import write
from pipeline.corpus.row import Row

ROWS = [
    Row("affinity", f"l{i}", "ACD" * (i + 1), f"r{i}", "GHT", 5.0 + i, group=f"{i}abc", strata="mutated=no") for i in range(6)
]
PARTS = {"train": ROWS[:3], "validation": ROWS[3:4], "test": ROWS[4:]}


@pytest.fixture
def curated(tmp_path):
    """Three train complexes, one of validation, two of test; a control that deals them the other way round."""
    for folder, rows in ((tmp_path / "x", ROWS), (tmp_path / "x/controls/random", ROWS[::-1])):
        folder.mkdir(parents=True)
        for split, part in (("train", rows[:3]), ("validation", rows[3:4]), ("test", rows[4:])):
            write(folder / f"{split}.parquet", Row, [replace(row, split=split) for row in part])
    return tmp_path


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("control", [None, "random"])
def test_baselines_learn_from_train_rows_of_the_same_deal_and_never_from_those_they_are_asked_for(curated, split, control):
    rows = ROWS[::-1] if control else ROWS
    (found,) = collections(curated, "x", split, deal=control)
    asked = rows[4:] if split == "test" else rows[3:4]
    assert [pair[1:] for pair in found.pairs] == [(row.query, row.document, row.score) for row in asked]
    assert [pair[1:] for pair in found.trained] == [(row.query, row.document, row.score) for row in rows[:3]]
    assert list(found.groups.values()) == [row.group for row in asked]
