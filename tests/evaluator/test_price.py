import numpy as np
import pytest

from pipeline.evaluator.affinity import Affinity
from pipeline.evaluator.items import summary
from pipeline.evaluator.price import pairs_of, price

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
    own, dealt = "affinity/x", "affinity/x@random"
    at = {"hp": {own: 1}, "hp_random": {dealt: 1}, "ec": {own: 1}, "length": {own: 1, dealt: 1}, "hp_2": {own: 1}}
    assert pairs_of(at) == [("hp", own, "hp_random", dealt), ("length", own, "length", dealt)]


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
