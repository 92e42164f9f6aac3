import pytest

from pipeline.cluster.equal import Equal
from pipeline.cluster.join import Join
from pipeline.corpus.row import Row
from pipeline.split.contamination import Contamination

TEST = Row("retrieval", "q1", "What is a CAT?", "d1", "An animal.", None, "test")
JOIN = Join(unit="word", size=1, threshold=0.7, workers=1)


def pair(query, document):
    return Row("retrieval", "q9", query, "d9", document)


def twin(match, row, evaluation=(TEST,), neighbours=None):
    (place,), (similarity,) = Contamination(match=match, neighbours=neighbours or Equal())([row], evaluation, str.lower)
    return None if place < 0 else (evaluation[place].query_id, similarity)


@pytest.mark.parametrize("neighbours", [Equal(), JOIN])
@pytest.mark.parametrize(
    ("row", "found_by"),
    [
        (pair("what is a cat?", "an animal."), {"pair", "query", "document", "text"}),
        (pair("what is a cat?", "another"), {"query", "text"}),
        (pair("another", "an animal."), {"document", "text"}),
        (pair("an animal.", "another"), {"text"}),
        (pair("another", "what is a cat?"), {"text"}),
        (pair("an animal.", "what is a cat?"), {"text"}),
        (pair("another", "and another"), set()),
        (pair("", ""), set()),
    ],
)
def test_each_rule_finds_what_it_says(row, found_by, neighbours):
    found = {match for match in ("pair", "query", "document", "text", "off") if twin(match, row, neighbours=neighbours)}
    assert found == found_by


def test_a_near_text_is_found_with_its_similarity_where_near_texts_count():
    row = pair("So what is a cat?", "another")  # 4 of 5 words
    assert twin("query", row) is None
    assert twin("query", row, neighbours=JOIN) == ("q1", 0.8)
    assert twin("pair", row, neighbours=JOIN) is None
    assert twin("pair", pair("So what is a cat?", "An animal"), neighbours=JOIN) == ("q1", 0.8)


def test_the_most_similar_twin_is_named_the_first_where_there_are_several():
    second = Row("retrieval", "q2", "what is a cat?", "d2", "else", None, "test")
    third = Row("retrieval", "q3", "so what is a cat?", "d3", "else", None, "test")
    assert twin("query", pair("What is a cat?", ""), [third, TEST, second], JOIN) == ("q1", 1.0)
    assert twin("query", pair("SO what is a cat?", ""), [TEST, third], JOIN) == ("q3", 1.0)


def test_without_evaluation_rows_nothing_is_given_away():
    assert twin("text", pair("a", "b"), []) is None
