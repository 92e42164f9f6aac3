import unicodedata

import pytest

from pipeline.audit.shingles import _alone
from pipeline.corpus.script import counted, is_latin, letters, parted, runs, script_without_blanks


def test_the_audit_takes_the_same_letters_by_their_names():
    by_name = {code for code in range(0x110000) if unicodedata.name(chr(code), "") and _alone(chr(code))}
    assert by_name == {code for code in letters() if unicodedata.name(chr(code), "")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我们train模型", ["我", "们", "train", "模", "型"]),
        ("กำลังไป", ["ก", "ำ", "ลั", "ง", "ไ", "ป"]),
        ("ភាសាខ្មែរ", ["ភា", "សា", "ខ្", "មែ", "រ"]),
        ("データを读む", ["デ", "ー", "タ", "を", "读", "む"]),
    ],
)
def test_a_letter_of_a_script_without_blanks_is_a_word_with_its_marks(text, words):
    assert parted(text).split() == words
    assert [letter for run in runs(text)[1] for letter in run] == [word for word in words if not word.isascii()]


@pytest.mark.parametrize(
    "text", ["Fit the model.", "Größe  naïve\n", "модель", "नमस्ते दुनिया", "모델 훈련", "שלום", "a\u0301", ""]
)
def test_a_text_of_another_script_is_itself(text):
    assert parted(text) is text or parted(text) == text
    assert runs(text) == (text, [])
    assert script_without_blanks(text) is None


def test_texts_are_counted_by_the_script_of_most_of_their_letters():
    texts = ["我们训练模型 fit", "a text about 数", "กำลังไป", "データをよむ", "plain", "123", "今日はいい天気"]
    assert counted(texts) == {"Han": 2, "Kana": 1, "Thai": 1}
    assert counted(["plain", "Größe"]) == {}


def test_latin_is_told_by_most_letters():
    assert all(map(is_latin, ["plain", "Größe", "12", "Đường phố", ""]))
    assert not any(map(is_latin, ["модель", "我们", "नमस्ते", "مرحبا fit"]))
