"""The score by which the best weights of a training are chosen."""

import numpy as np
import pytest

from pipeline.corpus.row import Row
from pipeline.training.own_score import OwnScore, gain

LIMITS = {"max_length_tokens": None, "batch_tokens": 99}


class ByLetter:
    """A text's vector is its letter's."""

    def encode(self, texts, **_):
        return np.stack([np.eye(26)["abcdefghijklmnopqrstuvwxyz".index(text[0])] for text in texts])


def row(query, document, score=None, task="retrieval"):
    return Row(task, query, query, document, document, score)


def at(rank):
    return 1 / np.log2(1 + rank)


def test_gains_are_those_of_the_own_documents_and_ties_count_against_them():
    score = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.5, 0.5, 0.5]])
    assert gain(score, np.eye(3, dtype=bool)) == pytest.approx((1 + at(2) + at(3)) / 3)
    assert gain(score[1:2], np.array([[False, True, True]])) == pytest.approx((at(2) + at(3)) / (1 + at(2)))
    assert gain(score, np.zeros((3, 3), dtype=bool)) == 0
    assert gain(score[:2], np.array([[True, False, False], [False] * 3])) == 1  # who has no document of their own is not asked


def test_what_is_behind_the_tenth_counts_for_nothing():
    score = -np.arange(12.0)[None]
    assert gain(score, np.arange(12)[None] == 9) == pytest.approx(at(10))
    assert gain(score, np.arange(12)[None] == 10) == 0
    assert gain(score, np.arange(12)[None] < 11) == pytest.approx(1)  # more than ten of its own: ten are all there is to find


def test_the_mean_over_tasks_of_ranks_and_correlations():
    ranked = [row("a1", "a2"), row("b1", "b2"), row("c1", "b3")]  # the last ties behind all that are not its own
    graded = [row("a", "a", 5.0, "sts"), row("a", "b", 1.0, "sts"), row("c", "c", 4.0, "sts")]
    score = OwnScore({"retrieval": ranked, "sts": graded}, rows_per_task=99, **LIMITS)
    # b1 meets b3, which is no answer of its own and just as near: rank 2
    spearman = np.corrcoef([3, 1, 2], [2.5, 1, 2.5])[0, 1]
    assert score(ByLetter()) == pytest.approx(((1 + at(2) + at(3)) / 3 + spearman) / 2)


def test_documents_of_the_same_query_are_its_own_too():
    ranked = [row("a1", "a2"), row("a1", "a3"), row("b1", "b2")]
    assert OwnScore({"retrieval": ranked}, rows_per_task=99, **LIMITS)(ByLetter()) == 1.0


def test_so_many_rows_are_looked_at_and_a_task_with_one_is_none():
    score = OwnScore({"a": [row(f"a{i}", "b") for i in range(10)], "c": [row("a", "b")]}, rows_per_task=3, **LIMITS)
    assert {task: [one.query for one in rows] for task, rows in score.rows.items()} == {"a": ["a0", "a3", "a6"]}


def test_texts_of_the_same_class_are_its_own_too():
    classed = [Row("intent", "", text, "", other, thing=name, kind="same_class") for text, other, name in
               (("a1", "b1", "x"), ("c1", "a2", "x"), ("b2", "d", "y"))]  # fmt: skip
    # a1 finds a2 first, and b1 behind d, which is as far; c1 both behind d; b2 finds its own behind two others
    both = 1 + at(2)
    expected = ((1 + at(3)) / both + (at(2) + at(3)) / both + at(3)) / 3
    assert OwnScore({"intent": classed}, rows_per_task=99, **LIMITS)(ByLetter()) == pytest.approx(expected)


def test_a_text_does_not_find_itself():
    """Of a class each text is a document once: whoever finds it at once has found nothing."""
    texts = [Row("intent", "", text, "", other, thing=name, kind="same_class") for text, other, name in
             (("a1", "b1", "x"), ("b1", "a1", "x"), ("a2", "b2", "y"), ("b2", "a2", "y"))]  # fmt: skip
    # each one meets the other class' text of its own letter before its mate, and one more that ties with that
    assert OwnScore({"intent": texts}, rows_per_task=99, **LIMITS)(ByLetter()) == pytest.approx(at(3))
