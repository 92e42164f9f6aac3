import dataclasses
import math

import pytest

from pipeline.corpus.row import Rejected, Row, checked_row

GOOD = Row("sts", "q", "a query", "d", "a document", 1.0, "train", None)


def test_a_sound_row_passes_unchanged():
    assert checked_row("file.tsv", 3, GOOD) == GOOD


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query": " \t"}, "empty query"),
        ({"document": ""}, "empty document"),
        ({"score": math.nan}, "score is nan, expected a finite number"),
        ({"score": -math.inf}, "score is -inf, expected a finite number"),
        ({"score": "high"}, "score is 'high', expected a valid number, unable to parse string as a number"),
        ({"query": None}, "query is None, expected a valid string"),
        ({"query": "", "document": " "}, "empty query; empty document"),
        ({"split": "dev"}, "split is 'dev', expected 'train', 'validation' or 'test'"),
    ],
)
def test_a_row_that_cannot_be_one_is_rejected_with_its_place_and_reason(change, reason):
    rejected = checked_row("file.tsv", 3, dataclasses.replace(GOOD, **change))
    assert isinstance(rejected, Rejected)
    assert (rejected.file, rejected.line, rejected.reason) == ("file.tsv", 3, reason)


def test_a_row_without_score_or_split_is_sound():
    row = dataclasses.replace(GOOD, score=None, split=None)
    assert checked_row("file.tsv", 1, row) == row


def test_a_row_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.query = "another"  # pyright: ignore[reportAttributeAccessIssue]
