"""Which items are tied, on a few that can be looked through."""

import random

import pytest

from pipeline.corpus.grouping import Tied, tied


def test_items_that_share_an_answer_are_tied_and_others_are_not():
    items = {"a": ["q1", "x"], "b": ["q2", "x"], "c": ["q3", "y"], "d": ["q4", "z", "y"], "e": ["q5", "u"]}
    found = tied({key: Tied(texts, None) for key, texts in items.items()})
    assert found == {"a": "text a", "b": "text a", "c": "text c", "d": "text c", "e": "text e"}


def test_what_rows_name_goes_before_texts():
    items = {"a": Tied(["x"], "one"), "b": Tied(["x"], "two"), "c": Tied(["y"], "one"), "d": Tied(["x"], None)}
    assert tied(items) == {"a": "group one", "b": "group two", "c": "group one", "d": "text d"}


@pytest.mark.parametrize(("tie", "expected"), [(2, ["a", "a", "c", "d"]), (3, ["a", "b", "c", "d"])])
def test_a_document_that_answers_more_than_half_of_the_queries_ties_none(tie, expected):
    items = {key: Tied([f"query {key}", "x" if i < tie else key], None) for i, key in enumerate("abcd")}
    assert list(tied(items).values()) == [f"text {key}" for key in expected]


def test_the_same_first_text_ties_even_there():
    items = {key: Tied([query, "x"], None) for key, query in zip("abcd", ["one", "two", "one", "four"], strict=True)}
    assert tied(items) == {"a": "text a", "b": "text b", "c": "text a", "d": "text d"}


def test_ties_reach_along_chains_as_a_slow_search_finds():
    draw = random.Random(0)
    items = {f"{i:02}": [f"query {i}", *(f"t{draw.randrange(90)}" for _ in range(2))] for i in range(40)}
    expected = {}
    for key in sorted(items):
        if key in expected:
            continue
        reached, waiting = set(), [key]
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += [other for other, texts in items.items() if set(texts) & set(items[one])]
        expected |= dict.fromkeys(reached, f"text {key}")
    assert 5 < len(set(expected.values())) < 40
    assert tied({key: Tied(texts, None) for key, texts in items.items()}) == expected
