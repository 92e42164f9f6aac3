"""The error browser, for every shape of task."""

import pytest

from pipeline.corpus.collection import Complexes, Judged, Labelled, Pairs
from pipeline.evaluator.bitext import Bitext
from pipeline.evaluator.classification import Classification
from pipeline.evaluator.clustering import Clustering
from pipeline.evaluator.pair_classification import PairClassification
from pipeline.evaluator.reranking import Reranking
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts
from pipeline.protein.evaluator.affinity import Affinity
from pipeline.report.parts.browser import browser

PAIRS = [("p", "one", "uno", 3.0), ("q", "two", "dos", 2.0), ("r", "three", "tres", 1.0)]
SAME = [("p", "one", "uno", 1.0), ("q", "two", "dos", 1.0), ("r", "three", "tres", 0.0)]
JUDGED = {"queries": {"q": "asked"}, "documents": {"a": "right", "b": "wrong"}, "judgements": {"q": {"a": 1, "b": 0}}}
ONE = {"id": ["q"], "first": ["a"]}
LABELS = [("s", "a text", "blue"), ("t", "another", "red")]
# By kind: its evaluator, a collection, items of the final model and of another.
CASES = {
    "retrieval": (
        Retrieval(depth=100),
        Judged("x", "retrieval", **JUDGED),
        ONE | {"ndcg@10": [1.0]},
        ONE | {"ndcg@10": [0.5], "first": ["b"]},
    ),
    "reranking": (Reranking(), Judged("x", "reranking", **JUDGED), ONE | {"map": [1.0]}, ONE | {"map": [0.5], "first": ["b"]}),
    "bitext": (
        Bitext(block=2),
        Pairs("x", "bitext", pairs=PAIRS),
        {"id": ["p", "q", "r"], "f1": [1.0, 1.0, 1.0], "first": ["p", "q", "r"]},
        {"id": ["p", "q", "r"], "f1": [1.0, 0.0, 0.67], "first": ["p", "r", "r"]},
    ),
    "sts": (
        Sts(),
        Pairs("x", "sts", pairs=PAIRS),
        {"id": ["p", "q", "r"], "cosine": [0.9, 0.5, 0.1], "score": [3.0, 2.0, 1.0]},
        {"id": ["p", "q", "r"], "cosine": [0.9, 0.2, 0.4], "score": [3.0, 2.0, 1.0]},
    ),
    "pair_classification": (
        PairClassification(),
        Pairs("x", "pair_classification", pairs=SAME),
        {"id": ["p", "q", "r"], "cosine": [0.5, 0.9, 0.1], "score": [1.0, 1.0, 0.0]},
        {"id": ["p", "q", "r"], "cosine": [0.9, 0.2, 0.4], "score": [1.0, 1.0, 0.0]},
    ),
    "classification": (
        Classification(examples_per_label=1, experiments=2, iterations=9, seed=0),
        Labelled("x", "classification", labelled=LABELS),
        {"id": ["s", "t"], "accuracy": [1.0, 0.5], "first": ["blue", "red"]},
        {"id": ["s", "t"], "accuracy": [0.0, 0.5], "first": ["red", "red"]},
    ),
    "affinity": (
        Affinity(least=2, seed=0),
        Complexes("x", "affinity", pairs=PAIRS, trained=[], strata=["", "", ""]),
        {"id": ["p", "q", "r"], "prediction": [9.0, 8.0, 7.0], "score": [3.0, 2.0, 1.0]},
        {"id": ["p", "q", "r"], "prediction": [9.0, 7.5, 8.5], "score": [3.0, 2.0, 1.0]},
    ),
}
# The rows shown: text, number, what is given, what the two answered.
ROWS = {
    "retrieval": [("asked", "+0.50", [("relevant", "right")], [("own", "right"), ("other", "wrong")])],
    "reranking": [("asked", "+0.50", [("relevant", "right")], [("own", "right"), ("other", "wrong")])],
    "bitext": [
        ("two", "+1.00", [("translation", "dos")], [("own", "dos"), ("other", "tres")]),
        ("three", "+0.33", [("translation", "tres")], [("own", "tres"), ("other", "tres")]),
    ],
    "sts": [
        (
            "three",
            "+0.50",
            [("beside", "tres"), ("score", "1, place 3 of 3")],
            [("own, cosine", "0.1, place 3 of 3"), ("other, cosine", "0.4, place 2 of 3")],
        ),
        (
            "two",
            "+0.50",
            [("beside", "dos"), ("score", "2, place 2 of 3")],
            [("own, cosine", "0.5, place 2 of 3"), ("other, cosine", "0.2, place 3 of 3")],
        ),
    ],
    "pair_classification": [
        (
            "three",
            "+0.50",
            [("beside", "tres"), ("score", "0, place 3 of 3")],
            [("own, cosine", "0.1, place 3 of 3"), ("other, cosine", "0.4, place 2 of 3")],
        ),
        (
            "two",
            "+0.50",
            [("beside", "dos"), ("score", "1, places 1 to 2 of 3")],
            [("own, cosine", "0.9, place 1 of 3"), ("other, cosine", "0.2, place 3 of 3")],
        ),
    ],
    "classification": [("a text", "+1.00", [("class", "blue")], [("own", "blue"), ("other", "red")])],
    "affinity": [
        (
            "three",
            "+0.50",
            [("receptor", "tres"), ("score", "1, place 3 of 3")],
            [("own, prediction", "7, place 3 of 3"), ("other, prediction", "8.5, place 2 of 3")],
        ),
        (
            "two",
            "+0.50",
            [("receptor", "dos"), ("score", "2, place 2 of 3")],
            [("own, prediction", "8, place 2 of 3"), ("other, prediction", "7.5, place 3 of 3")],
        ),
    ],
}


def run_of(facts, kind, *, swapped=False, **changes):
    evaluator, collection, own, other = CASES[kind]
    of = {"task": kind, "kind": kind, "corpus": "x", "deal": None}
    items = {"own": {f"{kind}/x": of | (other if swapped else own)}, "other": {f"{kind}/x": of | (own if swapped else other)}}
    return facts(**({"evaluators": {kind: evaluator}, "collections": {collection.name: collection}, "items": items} | changes))


def rows(shown):
    return [(row["asked"], row["number"], row["given"], row["said"]) for row in shown]


@pytest.mark.parametrize("kind", CASES)
def test_rows_that_the_final_model_gains_on_another_are_shown_as_their_kind_needs(facts, kind):
    found = browser(run_of(facts, kind))["shown"][f"{kind}/x"]
    (one,) = found["compared"]
    assert rows(one["rows"]) == ROWS[kind]
    assert (one["model"], one["better"], one["worse"]) == ("other", len(ROWS[kind]), 0)
    assert one["num_items"] == len(CASES[kind][2]["id"])


@pytest.mark.parametrize("kind", CASES)
def test_rows_that_it_loses_are_shown_too_and_those_it_answers_worst(facts, kind):
    found = browser(run_of(facts, kind, swapped=True))["shown"][f"{kind}/x"]
    (one,) = found["compared"]
    assert {number for _, number, _, _ in rows(one["rows"])} == {number.replace("+", "-") for _, number, _, _ in ROWS[kind]}
    assert (one["better"], one["worse"]) == (0, len(ROWS[kind]))
    assert {text for text, _, _, _ in rows(found["worst"])} >= {text for text, _, _, _ in ROWS[kind]}
    assert [number for _, number, _, _ in rows(found["worst"])] == sorted(number for _, number, _, _ in rows(found["worst"]))


def test_a_row_that_is_answered_as_well_as_can_be_is_none_of_the_worst(facts):
    found = browser(run_of(facts, "classification"))["shown"]["classification/x"]
    assert rows(found["worst"]) == [("another", "0.50", [("class", "red")], [("own", "red")])]


def test_no_more_rows_are_shown_than_asked_for(facts):
    (one,) = browser(run_of(facts, "sts", examples=1))["shown"]["sts/x"]["compared"]
    assert ([row["asked"] for row in one["rows"]], one["better"]) == (["three"], 2)


def test_clusterings_are_no_rows_and_other_deals_are_not_shown(facts):
    of = {"task": "clustering", "kind": "clustering", "corpus": "x", "deal": None, "id": ["0"], "v_measure": [0.5]}
    labelled = Labelled("x", "clustering", labelled=LABELS)
    run = facts(
        evaluators={"clustering": Clustering(experiments=1, texts=9, batch=9, seed=0)},
        items={"own": {"clustering/x": of}},
        collections={labelled.name: labelled},
    )
    assert browser(run) is None
    assert browser(run_of(facts, "sts", collections={})) is None  # the collections are those of the corpora's own split


def test_models_that_saw_different_items_are_not_compared(facts):
    run = run_of(facts, "retrieval")
    run.items["other"]["retrieval/x"]["id"] = ["z"]
    with pytest.raises(AssertionError, match="the two models saw different items"):
        browser(run)


def test_the_page_shows_texts_numbers_and_counts(facts, shown):
    html = shown("browser", run_of(facts, "classification"))
    assert '<summary>own against other: <span class="soft">better on 1 of 2 texts, worse on 0</span></summary>' in html
    assert (
        '<b>a text</b> <span class="soft">+1.00</span><br>class: blue<br><span class="soft">own: blue<br>other: red</span>'
        in html
    )
    assert "<summary>own at its worst</summary>" in html
