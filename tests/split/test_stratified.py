import random
from collections import Counter

import pytest

from pipeline.corpus.row import SPLITS, Row
from pipeline.split.stratified import Stratified

SHARES = {"validation": 0.1, "test": 0.2}


def canned(count=1000, answers=5, split=lambda i: None, group=None, seed=0):
    """Many questions, few answers, some of them asked for twice as often."""
    draw = random.Random(seed)
    number = [min(draw.randrange(2 * answers), answers - 1) for _ in range(count)]
    return [
        Row("retrieval", f"q{i}", f"question {i}", f"d{n}", f"answer {n}", None, split(i), group) for i, n in enumerate(number)
    ]


def dealt(rows, **changes):
    return Stratified(**SHARES | {"seed": 0} | changes)(rows)


@pytest.mark.parametrize("answers", [1, 5, 40])
def test_each_document_has_its_share_in_every_split(answers):
    rows = dealt(canned(answers=answers))
    counts = Counter((row.document, row.split) for row in rows)
    for document in {row.document for row in rows}:
        total = sum(counts[document, split] for split in SPLITS)
        for split, share in (SHARES | {"train": 0.7}).items():
            assert abs(counts[document, split] - share * total) <= 2
    assert Counter(row.split for row in rows) == {"train": 700, "validation": 100, "test": 200}


def test_one_group_is_dealt_as_if_there_were_none():
    assert [row.split for row in dealt(canned(group="all"))] == [row.split for row in dealt(canned())]


def test_rows_of_one_query_stay_together_by_its_id_and_by_its_text():
    rows = [Row("retrieval", f"q{i % 100}", f"question {i % 80}", f"d{i}", f"answer {i}") for i in range(400)]
    split_of = {}
    for row in dealt(rows):
        for name in (row.query_id, row.query):
            assert split_of.setdefault(name, row.split) == row.split
    assert set(split_of.values()) == set(SPLITS)


def test_the_source_s_splits_stay_and_validation_is_taken_from_its_train_rows():
    given = canned(split=lambda i: "test" if i % 4 == 0 else "train")
    rows = dealt(given)
    assert all(now.split == "test" for was, now in zip(given, rows, strict=True) if was.split == "test")
    assert Counter(row.split for row in rows) == {"test": 250, "train": 675, "validation": 75}
    whole = canned(split=lambda i: SPLITS[i % 3])
    assert dealt(whole) == whole


def test_a_train_row_with_a_query_of_a_test_row_stays_in_train():
    rows = [Row("retrieval", "q", "same", f"d{i}", f"a {i}", None, split) for i, split in enumerate(["train", "test", None])]
    assert [row.split for row in dealt(rows)] == ["train", "test", "test"]


def test_the_deal_depends_on_the_seed_and_not_on_the_order_of_rows():
    rows = canned(200)
    found = {row.query: row.split for row in dealt(rows)}
    assert {row.query: row.split for row in dealt(rows[::-1])} == found
    assert {row.query: row.split for row in dealt(rows, seed=1)} != found


def test_rows_that_only_teach_are_train_and_graded_pairs_are_dealt_by_task():
    weak = [Row("weak", f"q{i}", f"title {i}", f"d{i}", f"text {i}") for i in range(50)]
    graded = [Row("sts", f"a{i}", f"one {i}", f"b{i}", f"two {i}", float(i % 5)) for i in range(200)]
    rows = dealt([*weak, *graded])
    assert {row.split for row in rows[:50]} == {"train"}
    assert Counter(row.split for row in rows[50:]) == {"train": 140, "validation": 20, "test": 40}


def test_shares_of_everything_are_refused_and_no_rows_are_no_fault():
    with pytest.raises(ValueError, match="shares with a sum below 1"):
        dealt([], validation=0.5, test=0.5)
    assert dealt([]) == []
