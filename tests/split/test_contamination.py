import pytest

from pipeline.corpus.row import Row
from pipeline.split.contamination import Contamination

TEST = Row("retrieval", "q1", "What is a CAT?", "d1", "An animal.", None, "test")


def pair(query, document):
    return Row("retrieval", "q9", query, "d9", document)


def twin(match, row, evaluation=(TEST,)):
    return Contamination(evaluation, match=match, normalise=str.lower).twin(row)


@pytest.mark.parametrize(
    ("row", "found_by"),
    [
        (pair("what is a cat?", "an animal."), {"pair", "query", "text"}),
        (pair("what is a cat?", "another"), {"query", "text"}),
        (pair("another", "an animal."), {"text"}),
        (pair("an animal.", "another"), {"text"}),
        (pair("another", "what is a cat?"), {"text"}),
        (pair("an animal.", "what is a cat?"), {"text"}),
        (pair("another", "and another"), set()),
        (pair("", ""), set()),
        (pair("what is a cat", "an animal"), set()),
    ],
)
def test_each_rule_finds_what_it_says(row, found_by):
    found = {match for match in ("pair", "query", "text", "off") if twin(match, row) is not None}
    assert found == found_by


def test_the_twin_is_named_by_its_ids_the_first_where_there_are_several():
    second = Row("retrieval", "q2", "what is a cat?", "d2", "else", None, "test")
    assert twin("query", pair("What is a cat?", ""), [TEST, second]) == "q1 | d1"


def test_without_evaluation_rows_nothing_is_given_away():
    assert twin("text", pair("a", "b"), []) is None
