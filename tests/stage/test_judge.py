"""What becomes final, on made-up scores where validation says the opposite of test."""

import numpy as np
import pytest

from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.scores import Scores
from pipeline.evaluator.verdict import judge
from pipeline.models import singles

MAIN = "ndcg@10"
SECTION = {
    "candidates": ["one", "two"], "resamples": 200, "confidence": 0.95, "margin": 0.01, "task_confidence": 0.95,
    "retention": 0.9,
}  # fmt: skip
QUERIES = [f"q{i:02}" for i in range(40)]


WHERE = {"merge": "merged", "derived": "derived"}  # by how a name begins


def judged(paths=None, kept=None, section=None, **values):
    """Of models whose every query scores so much: ``(validation, test)``; they lie where ``paths`` say, or where their name says.
    ``kept``: by model, how far it agrees with the model off the shelf."""
    cfg = {
        "final": SECTION | (section or {}), "seed": 0, "evaluate": {"guards": []},
        "models": {name: f"checkpoints/{WHERE.get(name.split('_')[0], 'experts')}/{name}" for name in values} | (paths or {}),
    }  # fmt: skip
    at = {name: dict(zip(("validation", "test"), both, strict=True)) for name, both in values.items()}
    one = {"task": "retrieval", "kind": "retrieval", "corpus": "x", "deal": None, "metric": MAIN}
    general = {name: {"retention": {"general": {"order": order}}} for name, order in (kept or {}).items()}
    scores = {
        name: Scores({split: {"x": one | {"value": v}} for split, v in of.items()} | general.get(name, {}))
        for name, of in at.items()
    }
    items = {
        name: {
            split: {"x": one | {"id": QUERIES, MAIN: [v + 0.001 * (i % 5) for i in range(40)], "group": QUERIES}}
            for split, v in of.items()
        }
        for name, of in at.items()
    }
    return judge(cfg, scores, items, {"retrieval": Retrieval(depth=100)})


def judged_at_random(gains):
    """Of forty queries; each model's scores scatter by themselves around what it gains over the rest."""
    models = {name: f"checkpoints/{WHERE.get(name.split('_')[0], 'experts')}/{name}" for name in gains}
    one = {"task": "retrieval", "kind": "retrieval", "corpus": "x", "deal": None}
    values = {name: 0.5 + gain + 0.1 * np.random.default_rng(i).random(40) for i, (name, gain) in enumerate(gains.items())}
    items = {
        name: {"validation": {"x": one | {"id": QUERIES, MAIN: of.tolist(), "group": QUERIES}}} for name, of in values.items()
    }
    scores = {
        name: Scores({split: {"x": one | {"metric": MAIN, "value": float(of.mean())}} for split in ("validation", "test")})
        for name, of in values.items()
    }
    cfg = {"final": SECTION | {"candidates": ["one"]}, "seed": 0, "models": models, "evaluate": {"guards": []}}
    return judge(cfg, scores, items, {"retrieval": Retrieval(depth=100)})


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


def test_a_merge_is_told_by_where_it_lies_and_may_be_called_anything():
    values = {"one": (0.5, 0.9), "two": (0.4, 0.8), "my_soup": (0.7, 0.1)}
    assert judged({"my_soup": "checkpoints/merged/soup"}, **values).final == "my_soup"
    verdict = judged({"my_soup": "checkpoints/experts/soup"}, **values)
    assert (verdict.final, verdict.merges) == ("one", {})  # a single model, and no candidate


def test_a_derived_model_is_told_by_where_it_lies_and_must_pass_as_a_merge_must():
    verdict = judged(one=(0.6, 0.2), two=(0.5, 0.1), derived_one=(0.7, 0.0))
    assert verdict.final == "derived_one"
    assert verdict.merges["derived_one"].mean.value == pytest.approx(0.1)
    verdict = judged({"two": "checkpoints/derived/whatever"}, one=(0.6, 0.2), two=(0.6, 0.9))
    assert (verdict.final, verdict.refused) == ("one", ["two"])


def test_merges_and_derived_models_share_one_bound():
    """Of a few that scatter alike, each stands less sure among the others than alone."""
    alone, others = (
        judged_at_random({"one": 0.0, "derived_a": 0.02, **more}).merges["derived_a"].mean
        for more in ({}, {f"merge_{i}": 0.0 for i in range(6)})
    )
    assert alone.value == others.value
    assert others.low < alone.low
    assert others.high > alone.high


def test_sentences_name_derived_models_where_there_are_some():
    def sentence(**values):
        return judged(one=(0.6, 0.2), two=(0.5, 0.1), **values).sentence

    assert "for all merges together" in sentence(merge=(0.7, 0.1))
    assert "for all merges and derived models together" in sentence(merge=(0.7, 0.1), derived=(0.5, 0.1))
    assert "for all derived models together" in sentence(derived=(0.7, 0.1))
    assert sentence(merge=(0.5, 0.1)).endswith("no merge is better beyond chance without risk to a task.")
    assert sentence(merge=(0.5, 0.1), derived=(0.5, 0.1)).endswith(
        "no merge or derived model is better beyond chance without risk to a task."
    )
    assert sentence(derived=(0.5, 0.1)).endswith("no derived model is better beyond chance without risk to a task.")
    assert sentence().endswith("there was no merge to choose from.")


def test_own_experts_are_candidates_and_controls_merges_and_the_backbone_are_none():
    task = {"retrieval": {"shuffle_documents": False}}
    train = {name: {"control": None, "tasks": task} for name in ("mine", "joint", "dealt", "shuffled")}
    train["dealt"] |= {"control": "random"}
    train["shuffled"] |= {"tasks": {"retrieval": {"shuffle_documents": True}}}
    experts = {name: f"checkpoints/experts/{name}" for name in train}
    models = {f"my_{name}": path for name, path in experts.items()} | {
        "my_soup": "checkpoints/merged/soup", "cut": "checkpoints/derived/cut", "start": "checkpoints/backbone",
        "after": "checkpoints/base", "theirs": "models/theirs",
    }  # fmt: skip
    assert singles({"experts": experts, "train": train, "models": models}) == ["my_mine", "my_joint", "after", "theirs"]


SHELF = {"shelf": "checkpoints/backbone"}


def test_a_model_that_kept_too_little_is_not_final_however_good_it_is():
    values = {"one": (0.6, 0.2), "two": (0.5, 0.1), "merge": (0.7, 0.9)}
    assert judged(kept={"one": 0.95, "two": 0.95, "merge": 0.95}, **values).final == "merge"
    verdict = judged(kept={"one": 0.95, "two": 0.95, "merge": 0.89}, **values)
    assert (verdict.final, verdict.forgot, verdict.refused) == ("one", ["merge"], ["merge"])
    assert "one agrees to 0.950 with the model off the shelf" in verdict.sentence
    assert "Below that, so not final: merge 0.890." in verdict.sentence
    assert judged(kept={"one": 0.89, "two": 0.95}, one=(0.6, 0.2), two=(0.5, 0.1)).final == "two"


def test_merges_are_compared_with_the_best_single_model_that_kept_enough():
    verdict = judged(kept={"one": 0.8, "two": 0.95, "merge": 0.95}, one=(0.7, 0.2), two=(0.5, 0.1), merge=(0.6, 0.1))
    assert (verdict.final, verdict.best_single) == ("merge", "two")


def test_where_no_single_model_keeps_enough_the_one_off_the_shelf_stands_and_it_is_said():
    values = {"one": (0.6, 0.2), "two": (0.7, 0.1), "shelf": (0.5, 0.1)}
    kept = {"one": 0.8, "two": 0.7, "shelf": 1.0}
    verdict = judged(SHELF, kept, **values)
    assert (verdict.final, verdict.best_single, verdict.forgot) == ("shelf", "shelf", ["one", "two"])
    assert "No trained single model keeps enough" in verdict.sentence
    verdict = judged(SHELF, kept | {"derived": 0.95}, **values, derived=(0.55, 0.1))
    assert (verdict.final, verdict.best_single) == ("derived", "shelf")
    assert judged(SHELF, kept | {"derived": 0.95}, **values, derived=(0.5, 0.1)).final == "shelf"


def test_without_the_one_off_the_shelf_whatever_keeps_enough_comes_before_what_does_not():
    values, kept = {"one": (0.6, 0.2), "two": (0.7, 0.1)}, {"one": 0.8, "two": 0.7}
    verdict = judged(kept=kept, **values)
    assert (verdict.final, verdict.best_single) == ("one", "one")  # the one that kept most
    assert "Add `backbone: checkpoints/backbone` under `models`" in verdict.sentence
    assert judged(kept=kept | {"merge": 0.91}, **values, merge=(0.4, 0.1)).final == "merge"


def test_what_was_not_measured_not_asked_for_or_made_elsewhere_owes_nothing():
    values = {"one": (0.6, 0.2), "two": (0.5, 0.1)}
    assert judged(**values).kept == {}
    low = {"one": 0.1, "two": 0.95}
    assert judged(kept=low, section={"retention": None}, **values).final == "one"
    assert judged({"one": "models/theirs"}, low, **values).final == "one"
    assert judged(kept=low, **values).final == "two"
