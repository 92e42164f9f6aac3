"""Near texts in scripts without blanks: against sets of characters, written as plainly as can be."""

import random
import unicodedata

import numpy as np
import pytest
from babel import Locale

from benchmarks.text_pairs import text_pairs
from pipeline.audit.shingles import _words  # pyright: ignore[reportPrivateUsage]
from pipeline.audit.words import Audit
from pipeline.cluster.join import Join
from pipeline.cluster.minhash import MinHash
from pipeline.cluster.spread import Spread
from pipeline.corpus.row import Row
from pipeline.split.contamination import Contamination

THRESHOLD, SIZE = 0.7, 3
# How words of a script are drawn: initial letters, what may follow, and marks that belong to the letter before them.
SCRIPTS = {
    "Chinese": ("".join(map(chr, range(0x4E00, 0x5200))), "", ""),
    "Japanese": (
        "".join(map(chr, range(0x4E00, 0x4F00))),
        "".join(map(chr, [*range(0x3042, 0x3094), *range(0x30A2, 0x30F5)])) + "ー",
        "",
    ),
    "Thai": ("".join(map(chr, range(0x0E01, 0x0E2F))), "าะแเโใไ", "ัิีึืุู่้๊๋"),
    "Lao": ("ກຂຄງຈສຊຍດຕຖທນບປຜຝພຟມຢຣລວຫອຮ", "າະແເໂໃໄ", "ັິີຶືຸູ່້"),
    "Khmer": ("".join(map(chr, range(0x1780, 0x17A3))), "", "ាិីឹឺុូេែៃោ់"),
    "Myanmar": ("".join(map(chr, range(0x1000, 0x1021))), "", "ာိီုူေဲံ့း်"),
}


LOCALES = {"Chinese": "zh", "Japanese": "ja", "Thai": "th", "Lao": "lo", "Khmer": "km", "Myanmar": "my"}


def real_words(script):
    """Names of countries, languages and currencies that CLDR has, of letters of the script; Khmer ones with their invisible blanks."""
    locale = Locale(LOCALES[script])
    names = dict.fromkeys([*locale.territories.values(), *locale.languages.values(), *locale.currencies.values()])
    return [
        name
        for name in names
        if len(name) > 1 and all(unicodedata.category(c)[0] in "LM" or c == "\u200b" for c in name) and not name[0].isascii()
    ]


def words(script, count=400):
    draw = random.Random(script)
    first, behind, marks = SCRIPTS[script]
    found = []
    while len(found) < count:
        letters = [draw.choice(first), *(draw.choice(first + 3 * behind) for _ in range(draw.randint(1, 3)))]
        found.append("".join(letter + (draw.choice(marks) if marks and draw.random() < 0.5 else "") for letter in letters))
    return found


def sentences(script, count=1000, vocabulary=None):
    """Half are drawn anew, half are earlier ones with words put in, taken out or changed."""
    draw = random.Random(count)
    vocabulary, found = vocabulary or words(script), []
    while len(found) < count:
        if found and draw.random() < 0.5:
            sentence = list(draw.choice(found))
            for _ in range(draw.randint(0, 4)):
                at = draw.randrange(len(sentence))
                sentence[at : at + draw.randint(0, 1)] = draw.choice([[], [draw.choice(vocabulary)]])
                sentence = sentence or [draw.choice(vocabulary)]
        else:
            sentence = [draw.choice(vocabulary) for _ in range(draw.choice([3, 6, 12, 20]))]
        found.append(sentence)
    return ["".join(sentence) + draw.choice(["", "。", "!"]) for sentence in found]


def brute_force(texts):
    """Jaccard similarity of every two texts, on runs of three letters with their marks."""
    sets = []
    for text in texts:
        units = []
        for character in unicodedata.normalize("NFC", text):
            kind = unicodedata.category(character)[0]
            if kind == "M" and units:
                units[-1] += character
            elif kind == "L":
                units.append(character)
        run = min(SIZE, len(units))
        sets.append({tuple(units[i : i + run]) for i in range(len(units) - run + 1)})
    found = {}
    for j, right in enumerate(sets):
        for i, left in enumerate(sets[:j]):
            if 1.5 * min(len(left), len(right)) >= max(len(left), len(right)):  # nothing else can come to 0.7
                shared = len(left & right)
                if shared / (len(left) + len(right) - shared) >= THRESHOLD:
                    found[i, j] = shared / (len(left) + len(right) - shared)
    return found


def join():
    return Join(unit="word", size=SIZE, threshold=THRESHOLD, workers=2)


def found_by(search, texts):
    return {(i, j): similarity for i, j, similarity in text_pairs(search(texts))}


@pytest.mark.parametrize("script", SCRIPTS)
def test_recall_and_precision_are_1_on_sentences_with_planted_edits(script):
    texts = sentences(script)
    expected = brute_force(texts)
    assert len(expected) > 200
    assert found_by(join(), texts) == expected


@pytest.mark.parametrize("script", LOCALES)
def test_recall_and_precision_are_1_on_sentences_of_real_words(script):
    vocabulary = real_words(script)
    assert len(vocabulary) > 400
    texts = sentences(script, vocabulary=vocabulary)
    expected = brute_force(texts)
    assert len(expected) > 200
    assert found_by(join(), texts) == expected


def test_searches_in_parts_and_by_hashes_find_the_same_pairs():
    texts = sentences("Thai", 300)
    expected = brute_force(texts)
    spread = Spread(unit="word", size=SIZE, threshold=THRESHOLD, parts=3, workers=1, scheduler=None, scratch=None)
    assert found_by(spread.on(lambda f, items: [f(item) for item in items]), texts) == expected
    pytest.importorskip("rensa")
    minhash = MinHash(unit="word", size=SIZE, threshold=THRESHOLD, permutations=128, bands=32, seed=0)
    found = found_by(minhash, texts)
    assert found.items() <= expected.items()
    assert len(found) > 0.98 * len(expected)


@pytest.mark.parametrize("script", SCRIPTS)
def test_train_rows_near_a_test_row_go_and_the_audit_finds_those_that_are_left(script):
    texts = sentences(script, 400)
    rows = [Row("retrieval", f"q{i}", texts[2 * i], f"d{i}", texts[2 * i + 1]) for i in range(200)]
    train, test = rows[:140], rows[140:]
    twins = Contamination(match="text", neighbours=join())(train, test, str)
    near = brute_force(texts)
    pairs = {pair for pair in near if pair[0] < 280 <= pair[1]}
    assert set(np.flatnonzero(twins.place >= 0).tolist()) == {pair[0] // 2 for pair in pairs} != set()
    audit = Audit(match="text", unit="word", size=SIZE, threshold=THRESHOLD, max_shown=3)
    known, asked = ({text for row in part for text in (row.query, row.document)} for part in (train, test))
    assert audit(train, test, str).num_leaks == len(
        {(texts[i], texts[j]) for i, j in pairs} & {(a, b) for a in known for b in asked}
    )
    kept = [row for row, place in zip(train, twins.place, strict=True) if place < 0]
    assert audit(kept, test, str).num_leaks == 0


MIXED = [
    ("我们用 sklearn 训练一个模型", "我们用 sklearn 训练一个新模型", True),
    ("我们用sklearn训练一个模型来预测价格", "我们用 sklearn 训练一个模型来预测价格。", True),
    ("請問這個產品有保固嗎?", "请问这个产品有保修吗?", False),  # another script, other letters
    ("パソコンが起動しないのですが", "パソコンが起動しないのですが?", True),
    ("ราคา ๒๕๐ บาทรวมค่าส่งแล้วค่ะ", "ราคา ๒๕๐ บาทรวมค่าส่งแล้วครับ", True),
    ("ราคา ๒๕๐ บาทรวมค่าส่งแล้ว", "ราคา ๓๙๙ บาทไม่รวมค่าส่ง", False),
]


@pytest.mark.parametrize(("left", "right", "near"), MIXED)
def test_mixed_texts_are_compared_by_the_words_of_either_script(left, right, near):
    found = found_by(Join(unit="word", size=2, threshold=0.6, workers=1), [left, right])
    assert bool(found) == near
    audit = Audit(match="query", unit="word", size=2, threshold=0.6, max_shown=1)
    rows = [Row("retrieval", "q", text, "d", "x") for text in (left, right)]
    assert audit(rows[:1], rows[1:], str).num_leaks == near


def test_texts_in_scripts_with_blanks_have_the_words_that_they_had():
    texts = [
        "Größe des naïven Modells",
        "модель обучена на данных",
        "नमस्ते दुनिया यह मॉडल है",
        "모델을 훈련 데이터에 맞춘다",
        "a\u0301b c\u0300",
    ]
    for text in texts:
        parts = {unicodedata.normalize("NFC", word.lower()) for word in text.split()}
        assert set(_words(unicodedata.normalize("NFC", text.lower()))) == parts
        assert found_by(Join(unit="word", size=1, threshold=1, workers=1), [text, " ".join(sorted(text.split()))]) == {
            (0, 1): 1
        }
