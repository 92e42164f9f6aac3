import random
import unicodedata

import numpy as np
import pytest

from benchmarks.text_pairs import text_pairs
from pipeline.audit.words import Audit
from pipeline.cluster.join import Join
from pipeline.corpus.row import Row

WORDS = [f"{a}{b}" for a in ("fit", "Ünit", "数", "c") for b in range(8)]


def made(seed, count=150):
    draw = random.Random(seed)
    texts = [
        " ".join(draw.choice(WORDS) for _ in range(draw.choice([0, 1, 2, 5, 9]))) + draw.choice(["", "!"])
        for _ in range(2 * count)
    ]
    return [Row("retrieval", f"q{i}", texts[2 * i], f"d{i}", texts[2 * i + 1]) for i in range(count)]


def audit(match, threshold=0.5, unit="word", size=2, shown=5):
    return Audit(match=match, unit=unit, size=size, threshold=threshold, max_shown=shown)


@pytest.mark.parametrize(("unit", "size"), [("word", 2), ("character", 3)])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 1.0])
def test_the_audit_and_the_join_count_the_same_pairs(unit, size, threshold):
    train, evaluation = made(0), made(1)
    for match, sides in (("query", ("query",)), ("document", ("document",)), ("text", ("query", "document"))):
        left, right = (list(dict.fromkeys(getattr(r, s) for r in rows for s in sides)) for rows in (train, evaluation))
        near = Join(unit=unit, size=size, threshold=threshold, workers=1)([*left, *right])
        pairs = [pair for pair in text_pairs(near) if pair[0] < len(left) <= pair[1]]
        found = audit(match, threshold, unit, size)(train, evaluation, str)
        assert found.num_leaks == len(pairs)
        assert sum(found.nearest) == len(right)
        assert [leak.similarity for leak in found.worst] == sorted((round(p[2], 4) for p in pairs), reverse=True)[:5]


def test_a_pair_counts_only_if_both_sides_of_one_row_are_near():
    evaluation = [Row("retrieval", "q", "a b c", "d", "e f g"), Row("retrieval", "q2", "k", "d2", "l")]
    crossed = Row("retrieval", "x", "a b c", "y", "l")
    both = Row("retrieval", "x", "a b c d", "y", "e f g")
    assert audit("pair")([crossed], evaluation, str).num_leaks == 0
    found = audit("pair")([crossed, both], evaluation, str)
    assert (found.num_leaks, found.highest) == (1, 0.6667)
    assert (found.worst[0].train, found.worst[0].evaluation) == ("a b c d | e f g", "a b c | e f g")


def test_nothing_against_nothing_is_no_leak():
    assert audit("text")([], made(0), str).num_leaks == audit("pair")(made(0), [], str).num_leaks == 0


def test_a_threshold_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match=r"threshold must be in \(0, 1\], got 30; write 0.30"):
        audit("text", threshold=30)


def shingles(text, unit, size):
    """Words as a person parts them: runs of letters, digits and marks; a letter of a script without blanks alone, with its marks."""
    text = unicodedata.normalize("NFC", text)
    runs, words = [""], [""]
    for character in text:
        kind = unicodedata.category(character)
        if kind[0] not in "LNM":
            runs, words = [*runs, ""], [*words, ""]
            continue
        lower = character.lower() if len(character.lower()) == 1 else character
        alone = unicodedata.name(character, "").startswith(("CJK", "THAI", "HIRAGANA")) and kind == "Lo"
        if alone or (
            kind[0] != "M" and words[-1] and unicodedata.name(words[-1][0], "").startswith(("CJK", "THAI", "HIRAGANA"))
        ):
            words.append("")
        runs[-1] += lower
        words[-1] += lower
    units = [word for word in words if word] if unit == "word" else list(" ".join(run for run in runs if run))
    size = min(size, len(units))
    return {tuple(units[i : i + size]) for i in range(len(units) - size + 1)} if units else set()


@pytest.mark.parametrize(("unit", "size"), [("word", 1), ("word", 3), ("word", 40), ("character", 4), ("character", 2)])
@pytest.mark.parametrize("match", ["text", "query", "document", "pair"])
def test_similarities_are_those_of_sets_of_shingles(match, unit, size, monkeypatch):
    monkeypatch.setattr("pipeline.audit.words.BLOCK_TEXTS", 7)
    draw = random.Random(size)
    words = ["a", "bb", "Cc", "dd1", "É", "e\u0301", "漢字", "ไทย", "x_y", "\u00b2", "ß", "x\ny", "-", "the"]

    def rows(count):
        texts = [" ".join(draw.choice(words) for _ in range(draw.randrange(7))) for _ in range(2 * count)]
        return [Row("retrieval", f"q{i}", texts[2 * i], f"d{i}", texts[2 * i + 1]) for i in range(count)]

    def compared(row):
        return {"pair": [(row.query, row.document)], "text": [(row.query,), (row.document,)]}.get(
            match, [(getattr(row, match, ""),)]
        )

    def similarity(one, other):
        found = []
        for left, right in zip(one, other, strict=True):
            left, right = shingles(left.lower(), unit, size), shingles(right.lower(), unit, size)
            found.append(len(left & right) / max(1, len(left | right)))
        return min(found)

    for _ in range(5):
        train, evaluation = rows(20), rows(12)
        left, right = ({side for row in part for side in compared(row)} for part in (train, evaluation))
        nearest = {one: max(similarity(other, one) for other in left) for one in right}
        found = audit(match, 0.5, unit, size)(train, evaluation, str.lower)
        assert found.num_leaks == sum(similarity(other, one) >= 0.5 for one in right for other in left)
        assert found.highest == round(max(nearest.values()), 4)
        assert found.nearest == np.histogram(list(nearest.values()), bins=10, range=(0, 1))[0].tolist()
        reached = audit(match, 0.5, unit, size).reached(train, evaluation, str.lower)
        assert reached.near_rows == [any(nearest[side] >= 0.5 for side in compared(row)) for row in evaluation]
