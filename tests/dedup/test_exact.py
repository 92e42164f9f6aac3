import random
import unicodedata
from dataclasses import replace

import pyarrow as pa
import pytest

from pipeline.corpus.row import Row
from pipeline.dedup.exact import Exact
from pipeline.dedup.normal import Normal


def normal(*, lowercase=True, form="NFC", boilerplate=()):
    return Normal(lowercase=lowercase, form=form, boilerplate=boilerplate)


def normalised(text, *, lowercase):
    return normal(lowercase=lowercase)(text)


def pair(query, document, query_id="q", document_id="d", task="retrieval", **values):
    return Row(task, query_id, query, document_id, document, **values)


def kept(rows, *, lowercase=True):
    return Exact()("corpus", rows, normal(lowercase=lowercase))[0]


def dropped(rows, *, lowercase=True):
    return [(one.reason, one.detail) for one in Exact()("corpus", rows, normal(lowercase=lowercase))[1]]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Fit the model.", "fit THE model."),
        ("fit  the\tmodel.\n", " fit the model."),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
        ("no\u00a0break", "no break"),
    ],
)
def test_texts_that_look_alike_are_equal(left, right):
    assert left != right
    assert normalised(left, lowercase=True) == normalised(right, lowercase=True)


@pytest.mark.parametrize(("left", "right"), [("e", "é"), ("fit.", "fit"), ("1²", "12"), ("a b", "ab"), ("ﬁ", "fi")])
def test_texts_that_say_something_else_are_not_equal(left, right):
    assert normalised(left, lowercase=True) != normalised(right, lowercase=True)


def test_letter_case_counts_only_where_that_is_chosen():
    assert normalised("Fit", lowercase=False) == "Fit"
    rows = [pair("A", "b", "1", "1"), pair("a", "B", "2", "2")]
    assert len(kept(rows, lowercase=True)) == 1
    assert len(kept(rows, lowercase=False)) == 2


def test_of_a_repeated_pair_the_first_is_kept_as_it_was_written():
    rows = [pair(" Why? ", "Because", "1", "2"), pair("why?", "because", "3", "4"), pair("WHY?", "because ", "5", "6")]
    assert kept(rows) == [rows[0]]
    assert dropped(rows) == [("repeated pair", "1 | 2")] * 2
    assert [one.query for one in Exact()("corpus", rows, normal())[1]] == ["why?", "WHY?"]


def test_a_graded_pair_may_hold_the_same_text_twice():
    row = pair("same", "same", task="sts", score=5.0)
    assert kept([row]) == [row]


def test_equal_texts_get_the_id_of_the_first_so_that_a_query_has_all_its_positives():
    rows = [pair("q", "one", "q1", "d1"), pair("Q", "two", "q2", "d2"), pair("other", "ONE", "q3", "d3")]
    assert [(row.query_id, row.document_id) for row in kept(rows)] == [("q1", "d1"), ("q1", "d2"), ("q3", "d1")]
    assert [(row.query, row.document) for row in kept(rows)] == [(row.query, row.document) for row in rows]


def test_a_text_on_the_other_side_is_another_text():
    rows = [pair("a", "b", "q1", "d1"), pair("b", "a", "q2", "d2")]
    assert kept(rows) == rows


def test_tasks_do_not_meet():
    rows = [pair("a", "b"), pair("a", "b", task="weak"), pair("a", "b", task="sts", score=1.0)]
    assert kept(rows) == rows


def test_graded_pairs_keep_their_ids():
    rows = [pair("a", "b", "q1", "d1", "sts", score=1.0), pair("a", "c", "q2", "d2", "sts", score=2.0)]
    assert kept(rows) == rows


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_rows_that_the_source_fixed_stay_as_they_are(split):
    rows = [pair("a", "b", split=split), pair("a", "b", split=split), pair("c", "c", split=split)]
    assert kept(rows) == rows
    train = replace(rows[0], query_id="q9", split="train")
    assert kept([*rows, train]) == [*rows, train]  # whether train may keep it is for the contamination step to say


def test_every_row_is_either_kept_or_dropped():
    rows = [pair(str(i % 3), str(i % 4), str(i), str(i)) for i in range(30)]
    keeps, drops = Exact()("corpus", rows, normal())
    assert len(keeps) + len(drops) == 30
    assert len(keeps) == len({(row.query, row.document) for row in rows})
    assert {one.corpus for one in drops} == {"corpus"}


def test_boilerplate_is_passed_over_and_a_text_of_nothing_else_is_compared_as_it_stands():
    compared = normal(boilerplate=[r"^\s*>>>", r"Read more in .*\."])
    assert compared(">>> fit(x)\n  >>> y") == compared("fit(x) y")
    assert compared("Fit.\nRead more in the guide.") == "fit."
    assert compared("Read more in A.") != compared("Read more in B.")
    with pytest.raises(ValueError, match="no regular expression"):
        normal(boilerplate=["("])


RULES = (
    r"^\s*(>>>|\.\.\.|In \[\d+\]:)",
    r"Read more in the :ref:`[^`]*`\.",
    r"a$",
    r"(?<=b)a",
    r"\bA?b\b",
    r"[\s>]{2,}$",
    r"a++b",
)
PIECES = (
    "a",
    "B",
    " ",
    "  ",
    "\n",
    "\t",
    "\x0b",
    "\x1c",
    "\r",
    "é",
    "e\u0301",
    ">>>",
    "...",
    "In [3]:",
    "Read more in the :ref:`x y`.",
)


@pytest.mark.parametrize("boilerplate", [(), *((rule,) for rule in RULES), RULES])
@pytest.mark.parametrize("lowercase", [True, False])
def test_a_column_is_normalised_as_its_texts_are_one_by_one(boilerplate, lowercase):
    draw = random.Random(0)
    texts = ["".join(draw.choice(PIECES) for _ in range(draw.randrange(8))) for _ in range(2_000)]
    rule = normal(lowercase=lowercase, boilerplate=boilerplate)
    assert rule.column(pa.array(texts, pa.large_string())).to_pylist() == [rule(text) for text in texts]
