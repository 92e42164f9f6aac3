import numpy as np
import pytest

from pipeline.corpus.row import Row
from pipeline.filter.consistency import Consistency
from pipeline.filter.identical import Identical
from pipeline.filter.language import Language
from pipeline.filter.length import Length
from pipeline.filter.repetition import Repetition


def pair(query, document="An answer that says something", score=None):
    return Row("retrieval" if score is None else "sts", "q", query, "d", document, score)


def reasons(judge, *rows):
    return [one and one.reason for one in judge(list(rows))]


@pytest.mark.parametrize(("words_only", "found"), [(True, [True, True, True, False]), (False, [True, True, False, False])])
def test_a_query_that_equals_its_document_goes(words_only, found):
    rows = [pair("Same", "same"), pair("a b", " A  b "), pair("fit.", "fit"), pair("!", "?")]
    assert [one is not None for one in Identical(words_only=words_only)(rows)] == found
    assert Identical(words_only=True)([pair("same", "same", score=5.0)]) == [None]


def test_length_counts_words_of_both_sides():
    judge = Length(min_words=2, max_words=4)
    found = reasons(judge, pair("one", "a b"), pair("a b", "one"), pair("a b", "a b c d"), pair("a b", "a b c d e"))
    assert found == ["query under 2 words", "document under 2 words", None, "document over 4 words"]
    with pytest.raises(ValueError, match="min_words <= max_words"):
        Length(min_words=5, max_words=4)


def test_repeats_of_characters_lines_and_words_go():
    judge = Repetition(max_run=5, max_lines=0.3, max_words=0.3, min_words=7)
    assert reasons(judge, pair("=====")) == [None]
    assert reasons(judge, pair("======")) == ["one character over 5 times in a row"]
    assert reasons(judge, pair("a b\nc d\na b\na b")) == ["repeated lines"]
    assert reasons(judge, pair("a b\nc d\na b")) == [None]  # three lines are too few to judge
    assert reasons(judge, pair("x", "spam a spam b spam c d")) == ["one word over and over"]


def test_other_languages_go_and_short_texts_pass():
    judge = Language(languages=["en"], min_probability=0.9, min_characters=40)
    german = "Die Funktion berechnet den gleitenden Mittelwert über alle Zeilen der Tabelle."
    english = "The function computes the rolling mean over all the rows of the table."
    assert reasons(judge, pair(english), pair(german), pair(english, german), pair("Guten Tag")) == [
        None, "another language", "another language", None
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no language 'english'"):
        Language(languages=["english"], min_probability=0.9, min_characters=40)


def test_a_pair_whose_document_is_not_found_goes_and_graded_ones_are_not_asked():
    places = {"q1": 0.0, "d1": 0.1, "q2": 1.0, "d2": 1.1, "q3": 0.05, "d3": 3.0}

    def model(texts):
        angle = np.array([places[text] for text in texts])
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    rows = [pair("q1", "d1"), pair("q2", "d2"), pair("q3", "d3"), pair("q1", "d3", score=0.0)]
    nearest = Consistency(model=model, depth=1)(rows)
    assert [one and one.detail for one in nearest] == [None, None, "rank 3", None]
    assert Consistency(model=model, depth=3)(rows) == [None] * 4


def test_in_a_script_without_blanks_a_letter_is_a_word():
    texts = ["我们训练一个模型", "กำลังไปบ้าน", "データを読む"]
    judge = Length(min_words=4, max_words=12)
    assert judge([pair(text, "four words are here") for text in texts]) == [None] * 3
    assert judge([pair("模型", "four words are here")])[0].detail == "2 words"
    repeated = Repetition(max_run=9, max_lines=0.5, max_words=0.3, min_words=10)
    assert repeated([pair("好的好的好的好的好的好的", "x")])[0].reason == "one word over and over"
    assert repeated([pair("我们今天下午去公园散步", "x")]) == [None]


@pytest.mark.parametrize(("query", "document"), [("กิน", "กัน"), ("की", "का"), ("မိ", "မု")])
def test_texts_that_differ_in_marks_alone_are_two_texts(query, document):
    assert Identical(words_only=True)([pair(query, document), pair(query, f"{query}!")])[0] is None
    assert Identical(words_only=True)([pair(query, f"{query}!")])[0] is not None
