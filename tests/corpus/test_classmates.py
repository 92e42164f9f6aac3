"""Texts of one class as pairs."""

from collections import Counter

from pipeline.corpus.classmates import alone, class_of, paired
from pipeline.corpus.row import Row


def row(text, name, kind="same_class"):
    return Row("intent", f"id {text}", text, name, name, kind=kind)


ROWS = [row(f"{name}{i}", name) for i in range(7) for name in ("a", "b")] + [row("c0", "c")]


def test_each_text_is_a_query_once_and_a_document_once_of_its_own_class_and_never_its_own_answer():
    found = paired(ROWS, "seed")
    texts = [one.query for one in ROWS[:-1]]
    assert [one.query for one in found] == texts
    assert Counter(one.document for one in found) == Counter(texts)
    assert all(one.query[0] == one.document[0] == one.thing == class_of(one) and one.query != one.document for one in found)
    assert all(one.document_id == f"id {one.document}" for one in found)
    assert alone(ROWS) == 1


def test_the_seed_decides_who_meets_whom():
    assert paired(ROWS, "one") == paired(ROWS, "one") != paired(ROWS, "two")


def test_a_text_that_stands_twice_is_no_answer_of_itself():
    found = paired([row("x", "a"), row("x", "a"), row("y", "a")], "seed")
    assert sorted((one.query, one.document) for one in found) == [("x", "y"), ("y", "x")]


def test_rows_of_other_kinds_stay_as_they_are():
    rows = [row("x", "a", "classification"), row("y", "a", "classification")]
    assert paired(rows, "seed") == rows
    assert paired([], "seed") == []
