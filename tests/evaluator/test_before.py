"""Before and after, on made-up answers of which the truth is known."""

import numpy as np
import pytest

from pipeline.evaluator.before import FEW_ROWS, before_and_after, table
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.scores import Scores
from pipeline.evaluator.sts import Sts

MAIN = "ndcg@10"
EVALUATORS = {"retrieval": Retrieval(depth=100), "sts": Sts()}
LIMITS = {"resamples": 500, "confidence": 0.95, "margin": 0.01, "seed": 0}
QUERIES = [f"q{i:03}" for i in range(200)]


def record(values, corpus="x"):
    of = {"task": "retrieval", "kind": "retrieval", "corpus": corpus, "deal": None}
    entry = of | {"metric": MAIN, "value": float(np.mean(values)), "interval": {"low": 0.0, "high": 1.0}, "others": {}}
    entry |= {"num_items": len(values), "num_groups": len(values)}
    return entry, of | {"id": QUERIES[: len(values)], "group": QUERIES[: len(values)], MAIN: list(values)}


def compared(*, shelf="backbone", final="joint", train_rows=5000, seen=None, kept=None, guards=(), **values):
    """By model the nDCG of each query in corpus x, or by corpus."""
    by_corpus = {name: one if isinstance(one, dict) else {"x": one} for name, one in values.items()}
    records = {name: {f"retrieval/{c}": record(v, c) for c, v in of.items()} for name, of in by_corpus.items()}
    return before_and_after(
        EVALUATORS,
        {
            name: Scores({"validation": {}, "test": {at: entry for at, (entry, _) in of.items()}})
            for name, of in records.items()
        },
        {name: {at: one for at, (_, one) in of.items()} for name, of in records.items()},
        final=final,
        shelf=shelf,
        baselines=[name for name in values if name == "bm25"],
        guards=list(guards),
        train_rows=train_rows,
        seen=seen,
        kept=kept,
        limits=LIMITS,
    )


def scattered(gain, *, number=200, spread=0.05, seed=0):
    draw = np.random.default_rng(seed)
    shelf = draw.uniform(0.3, 0.7, number)
    return shelf, shelf + gain + spread * draw.normal(size=number)


def test_a_gain_beyond_chance_is_told_with_the_paired_interval():
    shelf, own = scattered(0.05)
    found = compared(backbone=shelf, bm25=shelf - 0.1, joint=own)
    assert list(found.rows) == ["backbone", "bm25", "joint"]
    assert found.better is True
    assert found.sentence.startswith("joint is better than backbone, the model off the shelf, on test rows: retrieval +0.0")
    mean = found.difference["mean"]
    gains = own - shelf
    assert mean["value"] == pytest.approx(gains.mean())
    half = 1.97 * gains.std() / np.sqrt(200)  # of paired differences: far narrower than the two models' own intervals
    assert mean["low"] == pytest.approx(gains.mean() - half, abs=0.15 * half)
    assert mean["high"] == pytest.approx(gains.mean() + half, abs=0.15 * half)


def test_a_model_that_lost_is_called_worse_and_told_what_to_try():
    shelf, own = scattered(-0.05)
    found = compared(backbone=shelf, joint=own)
    assert found.better is False
    assert "joint is worse than backbone" in found.sentence
    assert "try half the rate" in found.sentence


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kept": 0.9995}, "the training hardly moved the model (agreement 0.9995)"),
        ({"train_rows": FEW_ROWS - 1, "seen": 0.4}, "the trainings saw 40 % of the train rows. Try a longer recipe"),
        ({"train_rows": FEW_ROWS - 1, "seen": 0.95}, f"there are only {FEW_ROWS - 1} train rows"),
        ({"kept": 0.9}, "the test rows are too few to tell. Of retrieval/x 20 items in 20 groups, a gain of the mean is told"),
    ],
)
def test_what_chance_would_do_is_not_called_better_and_the_likeliest_reason_is_named(changes, reason):
    shelf, own = scattered(0.01, number=20, spread=0.2)
    found = compared(backbone=shelf, joint=own, **changes)
    assert found.better is None
    assert "joint is not shown to be better than backbone" in found.sentence
    assert f"Likely reason: {reason}" in found.sentence


def test_answers_that_are_all_equal_are_no_training():
    shelf, _ = scattered(0)
    assert "the training hardly moved the model." in compared(backbone=shelf, joint=shelf).sentence


def test_a_page_without_the_model_off_the_shelf_says_that_nothing_is_known():
    found = compared(shelf=None, joint=scattered(0)[0])
    assert (found.better, found.difference, list(found.rows)) == (None, None, ["joint"])
    assert "is not known: that is not evaluated. Add `backbone: checkpoints/backbone` under `models`" in found.sentence


def test_where_the_model_off_the_shelf_is_final_nothing_better_came_of_it():
    shelf, own = scattered(-0.05)
    found = compared(final="backbone", backbone=shelf, joint=own, train_rows=10)
    assert found.sentence.startswith("backbone, the model off the shelf, is final: nothing better came of it. Try more rows")
    assert list(found.rows) == ["backbone"]


def test_a_page_that_trains_nothing_is_not_told_that_training_failed():
    for models in ({}, {"bm25": scattered(-0.5)[1]}):
        found = compared(final="backbone", backbone=scattered(0)[0], train_rows=0, **models)
        assert found.sentence.startswith("backbone, the model off the shelf, is final: the page makes no other.")


def test_guards_count_neither_in_the_rows_nor_in_the_difference():
    shelf, own = scattered(0.05)
    lost = {"x": own, "guard": shelf - 0.3}
    found = compared(backbone={"x": shelf, "guard": shelf}, joint=lost, guards=["guard"])
    assert found.better is True
    assert found.rows["joint"] == {"test": {"retrieval/x": record(own)[0]}, "mean": pytest.approx(own.mean())}
    assert compared(backbone={"x": shelf, "guard": shelf}, joint=lost).better is False


def test_a_task_of_two_collections_has_no_difference_of_one_of_them():
    one = {"metric": "ndcg@10", "value": 0.5, "interval": {"low": 0.4, "high": 0.6}}
    test = {
        "retrieval/a": one | {"task": "retrieval"},
        "retrieval/b": one | {"task": "retrieval"},
        "sts/c": one | {"task": "sts"},
    }
    row, gain = {"test": test, "mean": 0.5}, {"value": 0.1, "low": 0.09, "high": 0.11}
    difference = {"tasks": {"retrieval": gain, "sts": gain}, "mean": gain}
    before = {"rows": {"shelf": row, "own": row}, "shelf": "shelf", "final": "own", "difference": difference}
    assert table(before, 0.95)[-1][1:] == ["-", "-", "+0.1000 [+0.090, +0.110]", "+0.1000 [+0.090, +0.110]"]


def test_a_baseline_that_does_not_answer_every_task_has_no_mean():
    shelf, own = scattered(0.05)
    both = {"backbone": {"x": shelf, "y": shelf}, "joint": {"x": own, "y": own}}
    rows = compared(**both, bm25={"x": shelf}).rows
    assert (list(rows["bm25"]["test"]), rows["bm25"]["mean"]) == (["retrieval/x"], None)


def test_models_without_a_task_in_common_are_not_compared():
    shelf, own = scattered(0.05)
    found = compared(backbone={"y": shelf}, joint={"x": own})
    assert "answer no task in common" in found.sentence


def test_what_the_model_off_the_shelf_has_no_answer_to_is_not_asked_of_it(monkeypatch):
    monkeypatch.setattr(EVALUATORS["retrieval"], "predicts", True, raising=False)
    found = compared(shelf=None, joint=scattered(0)[0])
    assert (
        found.sentence
        == "joint predicts what the model off the shelf has no answer to, so it stands beside the baselines alone."
    )


def test_a_baseline_that_is_ahead_is_told_whatever_else_is_said():
    shelf, own = scattered(0.05)
    found = compared(backbone=shelf, bm25=own + 0.1, joint=own)
    assert found.better is True
    assert found.sentence.endswith(
        f" Not trained, and ahead of it: bm25 on retrieval/x ({own.mean() + 0.1:.3f}, joint {own.mean():.3f})."
    )
    assert "Not trained" not in compared(backbone=shelf, bm25=shelf, joint=own).sentence
