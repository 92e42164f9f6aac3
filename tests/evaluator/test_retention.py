"""Agreement with the model off the shelf, against slow references."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.evaluator.retention import NEAREST, agreement, general_texts, least_kept, spread_out


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def drawn(number, width, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(number, width)))


def test_a_model_agrees_with_itself_and_with_any_rotation_of_itself():
    vectors = drawn(40, 8)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    for other in (vectors, vectors @ rotation):
        assert agreement(vectors, other) == {"order": pytest.approx(1), "neighbours": 1.0, "texts": 40}


def test_both_numbers_are_those_of_a_slow_reference():
    own, other = drawn(30, 8), drawn(30, 5, seed=2)
    pairs = [(i, j) for i in range(30) for j in range(i)]
    order = spearmanr([own[i] @ own[j] for i, j in pairs], [other[i] @ other[j] for i, j in pairs]).statistic

    def near(vectors, i):
        return set(sorted((j for j in range(30) if j != i), key=lambda j: -vectors[i] @ vectors[j])[:NEAREST])

    kept = np.mean([len(near(own, i) & near(other, i)) / NEAREST for i in range(30)])
    assert agreement(own, other) == {"order": pytest.approx(order), "neighbours": pytest.approx(kept), "texts": 30}


def test_the_further_a_model_has_moved_the_less_it_agrees():
    vectors, noise = drawn(60, 8), drawn(60, 8, seed=3)
    found = [agreement(unit(vectors + step * noise), vectors) for step in (0.0, 0.3, 1.0, 3.0)]
    for name in ("order", "neighbours"):
        values = [one[name] for one in found]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 4


def test_few_texts_have_fewer_neighbours_and_too_few_are_refused():
    assert agreement(drawn(4, 3), drawn(4, 3))["neighbours"] == 1.0
    with pytest.raises(ValueError, match="expected the same 3 texts or more by both models, got 2 and 2"):
        agreement(drawn(2, 3), drawn(2, 3))


def test_the_bundled_sentences_are_many_different_ones_under_a_stated_licence(root):
    texts = general_texts()
    assert len(set(texts)) == len(texts) >= 300
    assert all(text == text.strip() and len(text.split()) > 3 for text in texts)
    assert "CC0" in (root / "pipeline/evaluator/general.txt").read_text(encoding="utf-8").split("\n")[1]


def test_a_sample_is_spread_over_the_sorted_texts_and_has_none_twice():
    texts = [f"{i:03}" for i in range(100)]
    assert spread_out([*texts[::-1], *texts], 4) == ["000", "025", "050", "075"]
    assert spread_out(["b", "a", "b"], 4) == ["a", "b"]


def test_the_set_on_which_least_was_kept_counts():
    assert least_kept({"general": {"order": 0.9}, "laws": {"order": 0.8}}) == 0.8
    assert least_kept({}) is None
