import random

import numpy as np
import pytest

from pipeline.corpus.row import Row
from pipeline.measure import memorised
from pipeline.measure.memorised import Memorised

WORDS = [f"word{i}" for i in range(300)]


def bags(texts):
    """A model that sees which words stand in a text, not their order."""
    vectors = np.zeros((len(texts), len(WORDS) + 1), np.float32)
    for i, text in enumerate(texts):
        for word in text.split():
            vectors[i, WORDS.index(word) if word in WORDS else -1] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sentences(draw, count):
    return [" ".join(draw.sample(WORDS, 12)) for _ in range(count)]


def rows(texts, kind):
    return [Row("retrieval", f"{kind}{i}", text, f"{kind} {i}", text) for i, text in enumerate(texts)]


def measure(**values):
    return Memorised(**{"model": bags, "cosine": 0.95, "letters": 0.9, "max_shown": 3} | values)


@pytest.mark.parametrize("block", [7, 2048])
def test_planted_paraphrases_are_counted_where_letters_miss_them(monkeypatch, block):
    monkeypatch.setattr(memorised, "BLOCK_TEXTS", block)
    draw = random.Random(0)
    asked, strangers = sentences(draw, 60), sentences(draw, 200)
    reordered = [" ".join(draw.sample(text.split(), 12)) for text in asked[:40]]
    found = measure()(rows([*strangers, *reordered, asked[41]], "train"), rows(asked, "test"), str)
    assert (found["texts"], found["near_in_meaning"], found["of_these_near_in_letters"]) == (60, 41, 1)
    assert sum(found["nearest"]) == 60
    assert [one["cosine"] for one in found["least_alike"]] == pytest.approx([1.0] * 3)
    assert {one["evaluation"] for one in found["least_alike"]} <= set(asked[:40])
    assert {tuple(sorted(one["train"].split())) for one in found["least_alike"]} <= {tuple(sorted(t.split())) for t in asked}


def test_splits_that_share_nothing_give_no_flag():
    draw = random.Random(1)
    found = measure()(rows(sentences(draw, 100), "train"), rows(sentences(draw, 100), "test"), str)
    assert found["near_in_meaning"] == found["of_these_near_in_letters"] == 0
    assert found["least_alike"] == []
    assert measure()([], rows(["word1"], "test"), str)["nearest"][0] == 1


@pytest.mark.parametrize("name", ["cosine", "letters"])
def test_a_share_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must be in \(0, 1\], got 95; write 0.95"):
        measure(**{name: 95})
