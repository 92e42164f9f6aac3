import pytest

from pipeline.checkpoint import read_json, sha256
from pipeline.corpus.files import Dropped, read
from pipeline.corpus.row import SPLITS, Row

CORPORA = ("questions", "labels", "graded")


@pytest.fixture(scope="module")
def curated(finished):
    return finished / "data/curated"


@pytest.fixture(scope="module")
def rows(curated):
    return {(name, split): read(curated / name / f"{split}.parquet", Row) for name in CORPORA for split in SPLITS}


def test_every_record_is_kept_or_dropped_with_a_reason(finished, rows):
    for name in CORPORA:
        dropped = read(finished / f"data/curated/{name}/dropped.parquet", Dropped)
        card = read_json(finished / f"data/raw/{name}/card.json")
        kept = sum(len(rows[name, split]) for split in SPLITS)
        assert kept + len(dropped) == sum(card["rows"].values()) + card["rejected"]
        assert all(row.reason for row in dropped)


def test_the_three_faults_of_the_corpora_are_found(curated):
    found = [(row.corpus, row.reason) for name in CORPORA for row in read(curated / f"{name}/dropped.parquet", Dropped)]
    assert sorted(found) == [
        ("graded", "text of a test row"),
        ("questions", "not readable"),
        ("questions", "repeated pair"),
    ]


def test_no_train_row_shows_a_text_of_an_evaluation_row(rows):
    held_out = {t for (_, split), of in rows.items() if split != "train" for row in of for t in (row.query, row.document)}
    train = {t for (_, split), of in rows.items() if split == "train" for row in of for t in (row.query, row.document)}
    assert held_out
    assert held_out & train == set()


def test_splits_have_their_shares_or_the_source_s_own(rows):
    assert [len(rows["questions", split]) for split in SPLITS] == [84, 6, 10]  # of 100: what is left, 6 %, 10 %
    assert [len(rows["graded", split]) for split in SPLITS] == [49, 20, 20]
    assert [len(rows["labels", split]) for split in SPLITS] == [50, 0, 0]  # weak rows only teach


def test_the_card_counts_and_hashes_what_is_there(curated, rows):
    card = read_json(curated / "questions/card.json")
    assert card["kept"] == {f"{split}/retrieval": len(rows["questions", split]) for split in SPLITS}
    assert card["dropped"] == {"not readable": 1, "repeated pair": 1}
    assert card["sha256"] == {file.name: sha256(file) for file in curated.glob("questions/*.parquet")}
