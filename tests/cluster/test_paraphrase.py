"""Paraphrases and texts that say something else, planted by rules; the model is stood in for by one that knows the synonyms."""

import random

import numpy as np
import pytest

from benchmarks.paraphrases import SYNONYMS, judged, planted
from pipeline.cluster.paraphrase import ByModel, Paraphrase, bag, stem
from pipeline.corpus.row import Row
from pipeline.split.contamination import Contamination

SUBJECTS = (
    "gradient",
    "histogram",
    "interval",
    "polygon",
    "tokenizer",
    "quantile",
    "spectrum",
    "residual",
    "lattice",
    "corpus",
)
FACTS = (
    "Compute the {a} of the given {b} and return the values for each {c}, using 3 passes",
    "Create a {a} from the {b} with the specified {c}, or remove the error of the data",
    "Select every {a} that contains a {b}, and convert the entries for the whole {c}",
    "The {a} is a fast function of the {b} that is used to check the name of a {c}",
    "Plots the {a} for the current {b}, and the method will update the {c} by default",
)
MEANING = {word: pair.split()[0] for pair in reversed(SYNONYMS.split("|")) for word in pair.split()}


def texts(first, last):
    draw = random.Random(1)
    made = []
    for i in range(last):
        named = [draw.sample(SUBJECTS, 3) for _ in range(2)]
        two = [
            FACTS[at % len(FACTS)].format(a=a, b=b, c=c) for at, (a, b, c) in zip((i, i + 1 + i // 5 % 4), named, strict=True)
        ]
        made.append(f"{'. '.join(two)}, see {'abcdefghij'[i // 10 % 10] * 5}{'klmnopqrst'[i % 10] * 5}")
    return made[first:]


def knowing(given):
    """Vectors in which synonyms, and forms of one word, are one direction, and all else is its own."""
    found = []
    for text in given:
        words = [stem(MEANING.get(word, word)) for word in text.lower().replace(",", " ").split()]
        found.append(sum((np.random.default_rng(list(word.encode())).normal(size=96) for word in words), np.zeros(96)))
    vectors = np.stack(found)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def search(model=knowing, **values):
    by_model = None if model is None else ByModel(cosine=0.5, words=0.5, model=model)
    return Paraphrase(**{"threshold": 0.5, "more": 0.7, "most": 1000, "workers": 1, "by_model": by_model} | values)


def found_by(one, made, asked):
    told = [*asked, *(text for *_, text in made)]
    near = one(told)
    twins, set_of = near.twins(), near.set_of.tolist()
    same = {
        (i, j)
        for i in range(len(asked))
        for j in range(len(asked), len(told))
        if set_of[j] in dict(twins.get(set_of[i], [(set_of[i], 1.0)]))
    }
    return {(told[i], told[j]) for i, j in same}


@pytest.mark.parametrize("seed", range(3))
def test_planted_paraphrases_are_found_and_texts_that_differ_in_what_matters_are_not(seed):
    asked = texts(0, 100)
    made = planted(asked, asked + texts(100, 300), 45, seed)
    result = judged(made, found_by(search(), made, asked))
    assert result["recall"] >= 0.8, result
    assert result["precision"] >= 0.9, result
    alone = judged(made, found_by(search(model=None), made, asked))
    assert alone["precision"] == 1
    assert 0.4 < alone["recall"] < result["recall"], "the model adds what words leave open"
    strangers = judged(
        made, found_by(search(), [(*one[:3], text) for one, text in zip(made, texts(300, 400), strict=False)], asked)
    )
    assert strangers["recall"] == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("returns the mean of all numbers in rows", "In rows, return the mean of all numbers.", True),
        ("the mean of 12 numbers in 3 rows of a table", "the mean of 7 numbers in 44 rows of a table", True),
        ("plan the next trip with four friends", "planned the next trips with four friends", True),
        ("sort the list of names by their length", "do not sort the list of names by their length", False),
        ("sort the list of names by their length", "don't sort the list of names by their length", False),
        ("open the file before the session begins", "open the file after the session begins", False),
        ("the sorted list of names of people", "the unsorted list of names of people", False),
        ("the first of the names is not the last name found", "the last of the names is not the first name found", True),
        ("return a copy", "return a copy of this", False),
        ("return a copy", "return an interval copy", False),
        ("wash red apples with cold water", "wash red apples with cold clear water every single morning", False),
    ],
)
def test_words_settle_what_words_can(one, other, same):
    near = search(model=None)([one, other])
    assert bool(len(near.left) or near.num_sets == 1) is same


def test_words_for_other_words_are_left_to_the_model_and_without_one_are_different():
    pair = ["compute the mean of all rows of the table", "calculate the mean of all rows of the table"]
    told = search(model=None).told(pair)
    assert (told.same.tolist(), told.open.tolist()) == ([False], [True])
    assert not len(search(model=None)(pair).left)
    assert search()(pair).similarity.tolist() == pytest.approx([4 / 6])
    assert not len(search()([pair[0], pair[1].replace("calculate", "deplore")]).left)
    assert not len(search(most=0)(pair).left)


def test_where_no_word_stands_for_another_the_texts_alone_are_compared():
    judge = ByModel(cosine=0.5, words=0.99, model=knowing)
    text = "compute the mean of all rows of the table"
    assert judge([(text, text), (text, f"{text} again"), (text, "wash red apples with cold water")]) == [True, True, False]
    assert judge([]) == []


def test_with_sides_only_pairs_between_them_are_told():
    near = [
        "wash red apples with cold clear water",
        "wash red apples with cold clear water daily",
        "clear cold water to wash red apples twice",
    ]
    every, between = search().told(near), search().told(near, [0, 0, 1])
    assert len(every.left) == 3
    assert sorted(zip(between.left.tolist(), between.right.tolist(), strict=True)) == [(0, 2), (1, 2)]


def test_planted_paraphrases_leave_train_where_contamination_searches_for_them():
    asked = texts(0, 40)
    made = planted(asked, asked, 30, 0)
    train = [Row("retrieval", f"q{i}", f"question {i} of nobody else", f"d{i}", text) for i, (*_, text) in enumerate(made)]
    test = [Row("retrieval", f"x{i}", f"asked {i} by somebody here", f"y{i}", text) for i, text in enumerate(asked)]
    twins = Contamination(match="text", neighbours=search())(train, test, str)
    gone = [place >= 0 for place in twins.place.tolist()]
    same = [agrees for _, agrees, *_ in made]
    assert sum(g and s for g, s in zip(gone, same, strict=True)) >= 0.8 * sum(same)
    assert sum(g and not s for g, s in zip(gone, same, strict=True)) <= 0.1 * sum(gone)


def test_a_bag_counts_words_and_takes_numbers_for_one():
    assert bag("Fit 3 models, then fits 4 other models") == {
        "fit": "fit", "0": "3", "model": "models", "fit2": "fits", "02": "4", "oth": "other", "model2": "models"
    }  # fmt: skip
    hindi = ["भाषा", "में", "शब्द", "और", "वाक्य"]
    assert list(bag(" ".join(hindi))) == hindi
    assert [stem(word) for word in ("copies", "copied", "copy", "planning", "plan", "class", "x9", "is")] == [
        "copy", "copy", "copy", "plan", "plan", "class", "x9", "is"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["threshold", "more"])
def test_a_share_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=r"threshold must be in \(0, 1\], got 70"):
        search(**{name: 70})
    with pytest.raises(ValueError, match=r"got 0"):
        ByModel(cosine=0.5, words=0, model=knowing)
