import numpy as np
import pytest

from pipeline.evaluator.items import summary
from pipeline.evaluator.price import pairs_of, price
from pipeline.models import controls
from pipeline.protein.evaluator.affinity import Affinity

LIMITS = {"resamples": 400, "confidence": 0.95, "seed": 0}


def items(noise, size=200, seed=0):
    draw = np.random.default_rng(seed)
    score = draw.normal(size=size)
    predicted = score + noise * draw.normal(size=size)
    return {
        "id": list(range(size)),
        "prediction": predicted.tolist(),
        "score": score.tolist(),
        "group": [str(i // 2) for i in range(size)],
    }


def test_models_are_paired_with_what_was_trained_on_the_control_and_baselines_with_themselves():
    own, dealt = "a label", "another"
    of = {"task": "affinity", "kind": "affinity", "corpus": "x"}
    one, two = {own: of | {"deal": None}}, {dealt: of | {"deal": "random"}}
    other = {"elsewhere": of | {"deal": "random", "corpus": "y"}}
    at = {"hp": one, "on_random": two, "ec": one, "length": one | two, "hp_2": one, "far": other}
    found = pairs_of(at, {"hp": ["on_random", "far"]})
    assert found == [("hp", own, "on_random", dealt), ("length", own, "length", dealt)]


def test_a_control_is_the_same_training_on_another_deal_whatever_it_is_called():
    train = {"a": {"control": None, "lr": 1}, "b": {"control": "random", "lr": 1}, "c": {"control": "random", "lr": 2}}
    experts = {name: f"checkpoints/experts/{name}" for name in train}
    models = {"hp": experts["a"], "x": experts["b"], "y": experts["c"], "base": "checkpoints/base"}
    assert controls({"train": train, "experts": experts, "models": models}) == {"hp": ["x"], "x": [], "y": []}


def test_a_model_that_looks_better_on_the_control_has_a_price_beyond_chance():
    value, low, high = price(Affinity(least=5, seed=0), items(2.0), items(0.5, seed=1), **LIMITS)
    assert 0 < low < value < high
    value, low, high = price(Affinity(least=5, seed=0), items(1.0), items(1.0, seed=1), **LIMITS)
    assert low < 0 < high
    assert value == pytest.approx((low + high) / 2, abs=0.1)


def test_the_two_samples_are_drawn_apart():
    """Of the same items twice, equal draws would give a difference of 0 each time; the true spread is the root of 2 of one sample's."""
    evaluator, one = Affinity(least=5, seed=0), items(1.0)
    value, low, high = price(evaluator, one, one, **LIMITS)
    of_one = summary(evaluator, one | {"strata": [""] * 200}, LIMITS, 0)
    assert value == 0
    assert high - low == pytest.approx(2**0.5 * (of_one["high"] - of_one["low"]), rel=0.15)
