import pytest

from pipeline.corpus.wording import content_words, overlap, share


def test_words_are_parted_where_code_joins_them_and_common_ones_left_out():
    assert content_words("The idx.is_month_end of 2D, x: FFT!") == {"idx", "month", "end", "fft", "2"}


@pytest.mark.parametrize(
    ("question", "document", "expected"),
    [
        ("Sort the values", "Values are sorted.", 0.5),
        ("sort", "Nothing alike", 0.0),
        ("of the", "Whatever", 1.0),  # no word of its own: nothing but words that any text holds
        ("", "", 1.0),
    ],
)
def test_a_share_is_of_the_questions_words(question, document, expected):
    assert share(question, document) == expected


def test_an_overlap_is_of_the_words_of_both():
    assert overlap(frozenset("abc"), frozenset("bcd")) == 0.5
    assert overlap(frozenset(), frozenset()) == 0.0
