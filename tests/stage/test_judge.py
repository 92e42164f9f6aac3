"""What becomes final, on made-up scores where validation says the opposite of test."""

import pytest

from pipeline.evaluator.retrieval import Retrieval
from pipeline.stage.final import judge

MAIN = "ndcg@10"
SECTION = {
    "candidates": ["one", "two"], "resamples": 200, "confidence": 0.95, "margin": 0.01, "task_confidence": 0.95,
}  # fmt: skip
QUERIES = [f"q{i:02}" for i in range(40)]


def judged(**values):
    """Of models whose every query scores so much: ``(validation, test)``."""
    cfg = {
        "final": SECTION, "seed": 0, "models": dict.fromkeys(values), "merge": {name: {} for name in values if "merge" in name},
    }  # fmt: skip
    at = {name: dict(zip(("validation", "test"), both, strict=True)) for name, both in values.items()}
    scores = {name: {split: {"retrieval/x": {MAIN: v}} for split, v in of.items()} for name, of in at.items()}
    items = {
        name: {
            split: {"retrieval/x": {"id": QUERIES, MAIN: [v + 0.001 * (i % 5) for i in range(40)], "group": QUERIES}}
            for split, v in of.items()
        }
        for name, of in at.items()
    }
    return judge(cfg, scores, items, {"retrieval": Retrieval(depth=100)}, {"retrieval": MAIN})


def test_the_best_single_model_is_that_of_validation():
    verdict = judged(one=(0.6, 0.2), two=(0.5, 0.9))
    assert (verdict.final, verdict.best_single) == ("one", "one")


@pytest.mark.parametrize(("validation", "test", "final"), [(0.7, 0.1, "merge"), (0.6, 0.9, "one"), (0.5, 0.9, "one")])
def test_a_merge_is_judged_by_validation_alone(validation, test, final):
    verdict = judged(one=(0.6, 0.2), two=(0.5, 0.1), merge=(validation, test))
    assert verdict.final == final
    assert verdict.merges["merge"].mean.value == pytest.approx(validation - 0.6)


def test_of_two_merges_that_pass_the_better_on_validation_becomes_final():
    assert judged(one=(0.5, 0.9), two=(0.4, 0.8), merge_a=(0.7, 0.1), merge_b=(0.8, 0.0)).final == "merge_b"
