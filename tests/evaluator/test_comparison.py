import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm, rankdata, spearmanr, t
from sklearn.metrics import average_precision_score

from pipeline.evaluator import comparison
from pipeline.evaluator.clustering import Clustering
from pipeline.evaluator.comparison import Difference, exchanges_needed, significant
from pipeline.evaluator.pair_classification import PairClassification
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts
from pipeline.protein.evaluator.affinity import Affinity

SETTINGS = {"resamples": 400, "confidence": 0.95, "seed": 0}
EVALUATORS = {
    "retrieval": Retrieval(depth=100),
    "sts": Sts(),
    "pair_classification": PairClassification(),
    "affinity": Affinity(least=20, seed=0),
    "clustering": Clustering(experiments=1, texts=1, batch=1, seed=0),
}


def identified(items):
    """``items`` by label ``task/corpus``, each with the identity that `evaluate` writes beside it."""
    return {
        name: {"task": name.split("/")[0], "kind": name.split("/")[0], "corpus": name.split("/")[1], "deal": None, **one}
        for name, one in items.items()
    }


def differences(evaluators, a, b, **settings):
    return comparison.differences(evaluators, identified(a), identified(b), **settings)


def p_values(evaluators, a, b, **settings):
    return comparison.p_values(evaluators, identified(a), identified(b), **settings)


def ranked(values, groups=None):
    ids = [str(i) for i in range(len(values))]
    return {"id": ids, "ndcg@10": list(values), "group": groups or ids}


def paired(values, gold, answer="cosine", groups=None):
    ids = [str(i) for i in range(len(values))]
    return {"id": ids, answer: list(values), "score": list(gold), "group": groups or ids}


def compared(a, b, **changes):
    return differences(EVALUATORS, {"retrieval/x": ranked(a)}, {"retrieval/x": ranked(b)}, **SETTINGS | changes)["retrieval/x"]


def p_of(task, a, b, exchanges=2000, seed=0):
    return p_values(EVALUATORS, {f"{task}/x": a}, {f"{task}/x": b}, exchanges=exchanges, seed=seed)[f"{task}/x"]


def test_equal_models_differ_by_nothing_in_every_draw():
    values = np.random.default_rng(0).random(50)
    assert compared(values, values) == Difference(0, 0, 0)
    assert p_of("retrieval", ranked(values), ranked(values)) == 1


def test_a_model_better_by_the_same_on_every_query_is_better_by_that_in_every_draw():
    values = np.random.default_rng(0).random(50)
    found = compared(values + 0.1, values)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_interval_is_that_of_paired_draws_made_by_hand():
    random = np.random.default_rng(1)
    a, b = random.random(30), random.random(30)
    index = np.random.default_rng([0, 30]).integers(0, 30, size=(400, 30))
    order = sorted(range(30), key=str)  # groups are drawn by the order of their names
    by_draw = sorted(sum(a[order[i]] - b[order[i]] for i in draw) / 30 for draw in index)
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
        return {"affinity/x": paired(prediction[rows], score[rows], "prediction", [f"{i:02}" for i in rows])}

    one, five = (differences(EVALUATORS, answers(a, k), answers(b, k), **SETTINGS)["affinity/x"] for k in (1, 5))
    assert (five.value, five.low, five.high) == pytest.approx((one.value, one.low, one.high))
    p = [p_of("affinity", answers(a, k)["affinity/x"], answers(b, k)["affinity/x"]) for k in (1, 5)]
    assert p[0] == p[1] > 0.01


def test_more_confidence_widens_the_interval():
    random = np.random.default_rng(1)
    a, b = random.random(30), random.random(30)
    narrow, wide = compared(a, b, confidence=0.5), compared(a, b, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_each_collection_is_scored_by_the_evaluator_of_its_task():
    graded = paired([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
    a = {"sts/x": graded, "retrieval/y": ranked([1.0, 1.0])}
    b = {"retrieval/y": ranked([0.5, 0.5]), "sts/x": graded | {"cosine": [0.3, 0.2, 0.1]}}
    found = differences(EVALUATORS, a, b, **SETTINGS)
    assert {name: one.value for name, one in found.items()} == pytest.approx({"retrieval/y": 0.5, "sts/x": 2.0})


def test_models_that_saw_other_items_are_not_compared():
    other = {"retrieval/x": ranked([0.5, 0.5]) | {"id": ["1", "0"]}}
    with pytest.raises(AssertionError, match="saw different items"):
        differences(EVALUATORS, {"retrieval/x": ranked([0.5, 0.5])}, other, **SETTINGS)


def test_one_group_gives_no_interval_but_all_that_a_difference_can_be():
    a, b = (ranked(values, ["family"] * 2) for values in ([0.9, 0.8], [0.5, 0.4]))
    assert differences(EVALUATORS, {"retrieval/x": a}, {"retrieval/x": b}, **SETTINGS)["retrieval/x"] == Difference(
        pytest.approx(0.4), -1, 1
    )
    assert p_of("retrieval", a, b) == 1  # exchanged or not: both give as much


def test_clusterings_of_the_same_texts_tell_no_two_models_apart():
    a, b = ({"id": list("012"), "v_measure": values, "group": list("012")} for values in ([0.9, 0.91, 0.92], [0.1, 0.11, 0.12]))
    found = differences(EVALUATORS, {"clustering/x": a}, {"clustering/x": b}, **SETTINGS)["clustering/x"]
    assert (found.value, found.low, found.high) == pytest.approx((0.8, -1, 1))
    assert p_values(EVALUATORS, {"clustering/x": a}, {"clustering/x": b}, exchanges=100, seed=0) == {}


# Exact p-values: every exchange of the differing items, by plain loops


def mean_difference(a, b, gold):
    return math.fsum(a) / len(a) - math.fsum(b) / len(b)


def correlation_difference(a, b, gold):
    return spearmanr(a, gold).statistic - spearmanr(b, gold).statistic


def precision_difference(a, b, gold):
    return average_precision_score(gold, a) - average_precision_score(gold, b)


STATISTICS = {
    "retrieval": mean_difference,
    "sts": correlation_difference,
    "affinity": correlation_difference,
    "pair_classification": precision_difference,
}
GAINS = [0.0, 0.3869, 0.4307, 0.5, 0.6309297535714575, 1.0]


def share_as_extreme(statistic, a, b, gold, groups):
    """Over all exchanges of the groups at which ``a`` and ``b`` differ."""
    differ = sorted({g for g, x, y in zip(groups, a, b, strict=True) if x != y})
    found = []
    for swapped in itertools.product([False, True], repeat=len(differ)):
        change = dict(zip(differ, swapped, strict=True))
        left, right = ([y if change.get(g) else x for g, x, y in zip(groups, *two, strict=True)] for two in ((a, b), (b, a)))
        found.append(abs(statistic(left, right, gold)))
    return sum(value >= found[0] - 1e-9 for value in found) / len(found)


def answers_that_differ(task, random, num, differ, one_sided):
    """Two models' answers to ``num`` items, of which ``differ`` are unlike. Ranks: whole ones, so that few items differ."""
    if task == "retrieval":
        a = random.choice(GAINS, size=num)
        b = a.copy()
        for i in random.choice(num, differ, replace=False):
            a[i], b[i] = random.choice(GAINS, 2, replace=False)
            if one_sided and a[i] < b[i]:
                a[i], b[i] = b[i], a[i]
        return a, b
    a = random.permutation(num).astype(float)
    b, chosen = a.copy(), random.choice(num, differ, replace=False)
    b[chosen] = b[np.roll(chosen, 1)]
    return a, b


@pytest.mark.parametrize("task", STATISTICS)
@pytest.mark.parametrize("differ", [1, 2, 3, 5, 8, 12])
def test_up_to_twelve_differing_items_the_p_value_is_that_of_all_exchanges(task, differ):
    random = np.random.default_rng([differ, len(task)])
    if task != "retrieval" and differ == 1:
        return  # one rank alone cannot differ
    for repeat in range(12 if differ < 8 else 2 if differ < 12 else 1):
        num = 50 if differ < 8 else 20
        a, b = answers_that_differ(task, random, num, differ, one_sided=repeat % 2 == 0)
        gold = random.integers(2 if task == "pair_classification" else 6, size=num).astype(float)
        gold[:2] = [0, 1]
        first, second = (
            ranked(one) if task == "retrieval" else paired(one, gold, "prediction" if task == "affinity" else "cosine")
            for one in (a, b)
        )
        ranks = (a, b) if task == "retrieval" else (rankdata(a), rankdata(b))
        expected = share_as_extreme(STATISTICS[task], *ranks, gold, list(range(num)))
        assert p_of(task, first, second) == pytest.approx(expected, abs=1e-12)
        assert p_of(task, second, first) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("task", STATISTICS)
def test_up_to_twelve_differing_groups_the_p_value_is_that_of_all_exchanges_of_groups(task):
    random = np.random.default_rng(len(task))
    for num_groups in (2, 4, 7):
        groups = [f"g{i}" for i in random.integers(num_groups, size=40)]
        a, b = random.permutation(40).astype(float), random.permutation(40).astype(float)
        gold = random.integers(2 if task == "pair_classification" else 6, size=40).astype(float)
        first, second = (
            ranked(one, groups)
            if task == "retrieval"
            else paired(one, gold, "prediction" if task == "affinity" else "cosine", groups)
            for one in (a, b)
        )
        ranks = (a, b) if task == "retrieval" else (rankdata(a), rankdata(b))
        expected = share_as_extreme(STATISTICS[task], *ranks, gold, groups)
        assert p_of(task, first, second) == pytest.approx(expected, abs=1e-12)


def test_one_query_of_fifty_that_differs_is_no_evidence():
    a, b = [0.5] * 50, [0.5] * 50
    a[7], b[7] = 1.0, 0.6309297535714575
    assert p_of("retrieval", ranked(a), ranked(b), exchanges=20_000) == 1


# Marks


def test_marks_are_corrected_for_the_number_of_comparisons():
    assert significant({("m", "retrieval/x"): 0.02}, confidence=0.95) == {("m", "retrieval/x"): True}
    more = {("m", "retrieval/x"): 0.02} | {("n", f"retrieval/{i}"): 0.6 for i in range(3)}
    assert not any(significant(more, confidence=0.95).values())


@pytest.mark.parametrize("cells", [1, 51, 500])
def test_there_are_exchanges_enough_for_a_mark_in_a_table_of_any_size(cells):
    """Every cell is as sure as exchanges can make it: then all are marked."""
    a, b = np.full(40, 0.9), np.full(40, 0.5)
    p = p_of("retrieval", ranked(a), ranked(b), exchanges=exchanges_needed(cells, confidence=0.95))
    assert all(significant({("m", str(i)): p for i in range(cells)}, confidence=0.95).values())
