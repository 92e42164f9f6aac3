"""What a model chose for each item, which the report shows: a candidate, a translation, a class."""

import numpy as np
import pytest

from pipeline.corpus.collection import Judged, Labelled, Pairs
from pipeline.evaluator.bitext import Bitext
from pipeline.evaluator.classification import Classification, most_frequent
from pipeline.evaluator.reranking import Reranking

AT = {"north": 0.0, "south": 3.1, "nord": 3.0, "sud": 0.2, "snow": 0.1, "sun": 3.0, "palm": 2.9, "ice": 0.3}


def encode(texts, side, task):
    """Each word is a direction in a plane."""
    return np.asarray([[np.cos(AT[text]), np.sin(AT[text])] for text in texts], dtype=np.float32)


def test_of_a_querys_own_candidates_the_nearest_is_first():
    judged = {"n": {"i": 1, "p": 0}, "s": {"i": 1, "p": 0}}
    collection = Judged("x", "reranking", {"n": "north", "s": "south"}, {"i": "ice", "p": "palm", "w": "snow"}, judged)
    _, items = Reranking().evaluate(encode, collection)
    assert (items["id"], items["first"], items["map"]) == (["n", "s"], ["i", "p"], [1.0, 0.5])


def test_of_the_translations_the_nearest_is_first_by_the_id_of_its_pair():
    pairs = [("n", "north", "nord", 1.0), ("s", "south", "sud", 1.0)]
    scores, items = Bitext(block=1).evaluate(encode, Pairs("x", "bitext", pairs=pairs))
    assert (items["first"], scores["f1"]) == (["s", "n"], 0.0)


def test_of_classes_the_one_that_most_probes_named_is_first():
    known = [("a", "snow", "cold"), ("b", "sun", "warm"), ("c", "ice", "cold"), ("d", "palm", "warm")]
    asked = [("e", "north", "cold"), ("f", "south", "cold")]
    probe = Classification(examples_per_label=1, experiments=3, iterations=50, seed=0)
    _, items = probe.evaluate(encode, Labelled("x", "classification", labelled=asked, examples=known))
    assert (items["first"], items["accuracy"]) == (["cold", "warm"], [1.0, 0.0])
    assert all(type(name) is str for name in items["first"])


@pytest.mark.parametrize(("names", "most"), [(["b", "a", "b"], "b"), (["b", "a"], "a"), (["c"], "c")])
def test_of_equally_frequent_names_the_first_by_name_is_taken(names, most):
    assert most_frequent(names) == most
