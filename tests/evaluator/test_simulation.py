"""Intervals and marks on simulated models whose true difference is known: repeated often enough to see what they promise.

Bounds are those promised (93 to 97 %, 5 %), with two standard errors of the repetitions for the rate of false marks.
"""

import numpy as np
import pytest

from pipeline.evaluator.comparison import differences, significant
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts

SETTINGS = {"resamples": 400, "confidence": 0.95, "seed": 0}
EVALUATORS = {"retrieval": Retrieval(depth=100), "sts": Sts()}
GAINS = np.array([0.0, 0.3869, 0.4307, 0.5, 0.6309, 1.0])  # what one answer in ten gives, by rank; most are 0 or 1


def queries(random, num, shift):
    """nDCG of two models on ``num`` queries that are hard or easy for both; B's answers are worse with probability ``shift``."""
    ease = random.beta(0.8, 0.8, size=num)
    a, b = (GAINS[(random.random((num, 5)) < ease[:, None]).sum(1)] for _ in "ab")
    worse = random.random(num) < shift
    return a, np.where(worse, 0.0, b)


def items(values):
    return {"id": list(range(len(values))), "ndcg@10": values}


def pairs(random, num, noise):
    gold = random.integers(0, 6, size=num).astype(float)
    shared = random.normal(size=num)
    return [
        {"id": list(range(num)), "score": gold, "cosine": gold + noise * (0.7 * shared + 0.7 * random.normal(size=num))}
        for _ in "ab"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("num", [30, 300])
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_intervals_of_a_difference_hold_the_true_one_in_93_to_97_of_100_cases(num, shift):
    random = np.random.default_rng([num, int(shift * 10)])
    a, b = queries(random, 1_000_000, shift)
    true = a.mean() - b.mean()
    repeats, inside = 2000, 0
    for _ in range(repeats):
        a, b = queries(random, num, shift)
        found = differences(EVALUATORS, {"retrieval/x": items(a)}, {"retrieval/x": items(b)}, **SETTINGS)["retrieval/x"]
        inside += found.low <= true <= found.high
    print(f"{num} queries, difference {true:.3f}: coverage {inside / repeats:.3f}")
    assert 0.93 <= inside / repeats <= 0.97


@pytest.mark.slow
def test_equal_models_are_called_different_in_at_most_5_of_100_cases():
    random = np.random.default_rng(0)
    repeats = 1000
    bound = 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)
    false = {"retrieval": 0, "sts": 0, "any of 8": 0}
    for repeat in range(repeats):
        a, b = queries(random, 100, 0.0)
        left, right = pairs(random, 60, 2.0)
        for task, x, y in (("retrieval", items(a), items(b)), ("sts", left, right)):
            found = differences(EVALUATORS, {f"{task}/x": x}, {f"{task}/x": y}, **SETTINGS | {"seed": repeat})[f"{task}/x"]
            false[task] += found.p <= 0.05
        if repeat % 2 == 0:
            table = {}
            for model in range(8):
                a, b = queries(random, 50, 0.0)
                table[str(model)] = differences(
                    EVALUATORS, {"retrieval/x": items(a)}, {"retrieval/x": items(b)}, **SETTINGS | {"seed": repeat}
                )
            false["any of 8"] += 2 * any(significant(table, confidence=0.95).values())
    rates = {name: count / repeats for name, count in false.items()}
    print(f"false positives: {rates}")
    assert rates["retrieval"] <= bound
    assert rates["sts"] <= bound
    assert rates["any of 8"] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / (repeats / 2))
