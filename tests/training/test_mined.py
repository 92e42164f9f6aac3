from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.corpus.classmates import paired
from pipeline.corpus.files import Negative, write
from pipeline.corpus.row import Row, teaches
from pipeline.training.mined import by_query, known_rows, mined, with_given

MINER = Path(__file__).parents[2] / "conf/miner/nearest.yaml"


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


class ByLetter:
    """A text's vector is its letter's, and a little of its number's, so that none ties."""

    def encode(self, texts, **_):
        return np.stack([np.eye(26)["abcdefghijklmnopqrstuvwxyz".index(t[0])] + int(t[1:]) / 1000 for t in texts]).astype(
            np.float32
        )


def test_texts_of_a_class_are_no_negatives_of_each_other_however_near_they_are():
    """Each class holds a text of every letter: the nearest are of the other class, and of the same letter."""
    rows = [
        Row("intent", f"{letter}{i}", f"{letter}{i}", name, name, kind="same_class")
        for name, start in (("x", 0), ("y", 10)) for letter in "abcd" for i in (start, start + 1)
    ]  # fmt: skip
    class_of = {row.query: row.document for row in rows}
    settings = {
        "max_queries": None, "max_length_tokens": None, "near": {"_target_": "pipeline.cluster.equal.Equal"},
        "miner": yaml.safe_load(MINER.read_text(encoding="utf-8")) | {"max_ratio": None},
    }  # fmt: skip
    found = by_query(mined(ByLetter(), paired(rows, "seed"), (), settings, {"batch_tokens": 99}, title="t"))["intent"]
    assert sorted(found) == sorted(class_of)
    assert all(class_of[text] != class_of[query] for query, texts in found.items() for text in texts)
    assert all({text[0] for text in texts[:2]} == {query[0]} for query, texts in found.items())
