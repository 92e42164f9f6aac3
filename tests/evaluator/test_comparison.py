import math

import numpy as np
import pytest
from scipy.stats import norm, t

from pipeline.evaluator.affinity import Affinity
from pipeline.evaluator.comparison import Difference, accepted, differences, significant
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts

SETTINGS = {"resamples": 400, "confidence": 0.95, "seed": 0}
EVALUATORS = {"retrieval": Retrieval(depth=100), "sts": Sts()}


def ranked(values):
    return {"id": [str(i) for i in range(len(values))], "ndcg@10": list(values)}


def compared(a, b, **changes):
    return differences(EVALUATORS, {"retrieval/x": ranked(a)}, {"retrieval/x": ranked(b)}, **SETTINGS | changes)["retrieval/x"]


def test_equal_models_differ_by_nothing_in_every_draw():
    values = np.random.default_rng(0).random(50)
    assert compared(values, values) == Difference(0, 0, 0, 1)


def test_a_model_better_by_the_same_on_every_query_is_better_by_that_in_every_draw():
    values = np.random.default_rng(0).random(50)
    found = compared(values + 0.1, values)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_interval_is_that_of_paired_draws_made_by_hand():
    random = np.random.default_rng(1)
    a, b = random.random(30), random.random(30)
    index = np.random.default_rng([0, 30]).integers(0, 30, size=(400, 30))
    by_draw = sorted(sum(a[i] - b[i] for i in draw) / 30 for draw in index)
    found = compared(a, b)
    assert found.value == pytest.approx(np.mean(a) - np.mean(b))
    tail = norm.cdf(-math.sqrt(30 / 29) * t.ppf(0.975, 29))  # wider than 0.025 on each side, for 30 items only
    assert tail < 0.025
    assert (found.low, found.high) == pytest.approx((np.quantile(by_draw, tail), np.quantile(by_draw, 1 - tail)))
    assert found.low < found.value < found.high


def test_the_difference_changes_sign_with_the_order():
    random = np.random.default_rng(1)
    a, b = random.random(30), random.random(30)
    there, back = compared(a, b), compared(b, a)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_five_times_the_same_item_in_a_group_are_no_more_evidence_than_one():
    random = np.random.default_rng(2)
    score, a, b = random.random(30), random.random(30), random.random(30)

    def answers(prediction, times):
        rows = np.repeat(np.arange(30), times)
        group = [f"{i:02}" for i in rows]
        return {
            "affinity/x": {
                "id": [*map(str, range(len(rows)))],
                "prediction": prediction[rows],
                "score": score[rows],
                "group": group,
            }
        }

    evaluators = {"affinity": Affinity(least=20, seed=0)}
    one, five = (differences(evaluators, answers(a, k), answers(b, k), **SETTINGS)["affinity/x"] for k in (1, 5))
    assert (five.value, five.low, five.high) == pytest.approx((one.value, one.low, one.high))
    assert five.p == one.p > 0.01


def test_more_confidence_widens_the_interval():
    random = np.random.default_rng(1)
    a, b = random.random(30), random.random(30)
    narrow, wide = compared(a, b, confidence=0.5), compared(a, b, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_each_collection_is_scored_by_the_evaluator_of_its_task():
    graded = {"id": ["1", "2", "3"], "cosine": [0.1, 0.2, 0.3], "score": [1.0, 2.0, 3.0]}
    reverse = graded | {"cosine": [0.3, 0.2, 0.1]}
    a = {"sts/x": graded, "retrieval/y": ranked([1.0, 1.0])}
    b = {"retrieval/y": ranked([0.5, 0.5]), "sts/x": reverse}
    found = differences(EVALUATORS, a, b, **SETTINGS)
    assert {name: one.value for name, one in found.items()} == pytest.approx({"retrieval/y": 0.5, "sts/x": 2.0})


def test_models_that_saw_other_items_are_not_compared():
    other = {"retrieval/x": ranked([0.5, 0.5]) | {"id": ["1", "0"]}}
    with pytest.raises(AssertionError, match="saw different items"):
        differences(EVALUATORS, {"retrieval/x": ranked([0.5, 0.5])}, other, **SETTINGS)


BETTER, SLIGHTLY, EQUAL = Difference(0.05, 0.01, 0.09, 0.01), Difference(0.02, -0.01, 0.05, 0.2), Difference(0.0, 0.0, 0.0, 1.0)
PERHAPS_WORSE, WORSE = Difference(-0.01, -0.03, 0.01, 0.3), Difference(-0.01, -0.02, -0.001, 0.04)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([BETTER], True),
        ([SLIGHTLY], True),  # on the mean alone the measured value counts, not its interval
        ([EQUAL], False),  # a merge that changes nothing is not worth its weights
        ([PERHAPS_WORSE], False),
        ([BETTER, EQUAL], True),
        ([BETTER, PERHAPS_WORSE], True),
        ([BETTER, WORSE], False),  # better on the mean, but one task is lost
        ([SLIGHTLY, Difference(-0.02, -0.05, 0.01, 0.2)], False),  # they cancel
        ([EQUAL, EQUAL], False),
        ([BETTER, Difference(-0.01, -0.02, 0.0, 0.06)], True),  # zero is inside the interval
    ],
)
def test_a_merge_is_accepted_if_it_is_better_on_the_mean_and_loses_no_task(found, verdict):
    assert accepted({str(i): one for i, one in enumerate(found)}) is verdict


def test_the_permutation_test_counts_the_exchanges_that_give_as_much():
    a, b = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.5, 0.5, 0.5, 0.5])
    p = compared(a, b, resamples=4000).p  # only the two exchanges of all or none of four give as much: 2 in 16
    assert p == pytest.approx(1 / 8, abs=0.03)
    assert compared(a, a).p == 1


def test_marks_are_corrected_for_the_number_of_comparisons():
    one = {"m": {"retrieval/x": Difference(0.1, 0.05, 0.15, 0.02)}}
    assert significant(one, confidence=0.95) == {("m", "retrieval/x"): True}
    more = one | {"n": {f"retrieval/{i}": Difference(0, -0.1, 0.1, 0.6) for i in range(3)}}
    assert not any(significant(more, confidence=0.95).values())
