import pytest

from pipeline.corpus.files import Negative, write
from pipeline.corpus.row import Row, teaches
from pipeline.training.mined import known_rows, with_given


@pytest.mark.parametrize(
    ("task", "score", "expected"),
    [
        ("retrieval", None, True), ("retrieval", 1.0, True), ("retrieval", 0.5, True), ("retrieval", 0.0, False),
        ("retrieval", -1.0, False), ("weak", 0.0, False), ("sts", 0.0, True), ("sts", -1.0, True),
    ],
)  # fmt: skip
def test_pairs_judged_irrelevant_teach_nothing_and_graded_ones_all_do(task, score, expected):
    assert teaches(Row(task, "q", "query", "d", "document", score)) is expected


def test_what_is_known_is_all_that_teaches_of_every_task_and_nothing_of_test(tmp_path):
    rows = [
        Row("retrieval", "q", "query", "d", "document", 1.0), Row("retrieval", "q", "query", "e", "irrelevant", 0.0),
        Row("weak", "w", "query", "w", "other"), Row("sts", "s", "query", "s", "graded", 0.0),
    ]  # fmt: skip
    (tmp_path / "corpus").mkdir()
    for split in ("train", "validation", "test"):
        write(
            tmp_path / "corpus" / f"{split}.parquet", Row, [row for row in rows if split != "validation" or row.task == "sts"]
        )
    found = known_rows(tmp_path)
    assert {split: [row.document for row in of] for split, of in found.items()} == {
        "train": ["document", "other", "graded"], "validation": ["graded"],
    }  # fmt: skip


def negative(query, document, rank):
    return Negative(query, document, rank, "retrieval")


def test_given_negatives_come_before_those_that_are_found_and_each_text_once():
    rows = [
        Row("retrieval", "q", "b", "d", "answer", 1.0), Row("retrieval", "q", "b", "e", "no", 0.0),
        Row("retrieval", "q", "b", "f", "never", 0.0), Row("retrieval", "p", "a", "e", "no", 0.0),
    ]  # fmt: skip
    found = [negative("b", "found", 0), negative("b", "no", 1), negative("c", "other", 0)]
    assert with_given(rows, found) == [
        negative("a", "no", 0), negative("b", "no", 0), negative("b", "never", 1), negative("b", "found", 2), negative("c", "other", 0),
    ]  # fmt: skip


def test_without_given_negatives_what_is_found_stays_as_it_is():
    found = [negative("a", "x", 0), negative("a", "y", 1), negative("b", "x", 0)]
    assert with_given([Row("retrieval", "q", "a", "d", "answer")], found) == found
