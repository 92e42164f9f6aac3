import random

import pytest

from benchmarks.text_pairs import text_pairs
from pipeline.cluster.either import Either
from pipeline.cluster.equal import Equal
from pipeline.cluster.join import Join


def pairs(find, texts):
    return {(i, j): round(similarity, 9) for i, j, similarity in text_pairs(find(texts))}


def test_either_finds_the_pairs_of_each_part_with_the_higher_similarity():
    """Texts that one part takes for equal share what the other finds for any of them."""
    draw = random.Random(0)
    texts = [" ".join(draw.choice("abcdefg") for _ in range(draw.randint(1, 6))) for _ in range(60)]
    words = Join(unit="word", size=1, threshold=0.6, workers=1)
    letters = Join(unit="character", size=3, threshold=0.4, workers=1)
    one, other = pairs(words, texts), pairs(letters, texts)
    both = {pair: max(one.get(pair, 0), other.get(pair, 0)) for pair in one | other}
    grown = True
    while grown:
        equal = [pair for pair, similarity in both.items() if similarity == 1]
        more = {
            tuple(sorted((new, end))): similarity
            for (i, j), similarity in both.items() for old, end in ((i, j), (j, i))
            for a, b in equal for old_, new in ((a, b), (b, a)) if old_ == old and new != end
        }  # fmt: skip
        grown = any(both.get(pair, 0) < similarity for pair, similarity in more.items())
        both |= {pair: max(both.get(pair, 0), similarity) for pair, similarity in more.items()}
    assert pairs(Either(parts={"a": words, "b": letters}), texts) == both
    assert one.keys() - other.keys()
    assert other.keys() - one.keys()


def test_what_one_part_takes_for_equal_is_equal():
    words = Join(unit="word", size=1, threshold=0.9, workers=1)
    texts = ["a b", "c", "b, a!", "", "", "c d"]
    assert pairs(Either(parts={"words": words, "texts": Equal()}), texts) == {(0, 2): 1.0, (3, 4): 1.0}
    assert pairs(Either(parts={"texts": Equal()}), []) == {}
    with pytest.raises(ValueError, match="at least one search"):
        Either(parts={})
