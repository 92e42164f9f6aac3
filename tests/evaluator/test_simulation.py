"""Intervals and marks on simulated models whose true difference is known: repeated often enough to see what they promise.

Bounds are those promised (93 to 97 %, 5 %), with two standard errors of the repetitions for the rate of false marks.
"""

import numpy as np
import pytest

from pipeline.evaluator.comparison import accepted, differences, significant
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


def rank_correlation(noise):
    """The true Spearman of `pairs`, from a million of them."""
    from pipeline.metric import spearman

    one, _ = pairs(np.random.default_rng(9), 1_000_000, noise)
    return float(spearman(np.asarray(one["cosine"])[None, :], np.asarray(one["score"])[None, :])[0])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(400, 700), (60, 60)])
def test_the_gate_lets_few_harmful_merges_through_and_most_good_ones(size):
    """Six rounds of fifty merges: a third truly lose on a task (planted), a third are equal to the best single model, a third gain."""
    random = np.random.default_rng(size[0])
    ease = queries(random, 1_000_000, 0.0)[0].mean()  # what a query loses whose answers are all spoilt
    noises = np.linspace(1.2, 5.0, 20)
    truth = np.array([rank_correlation(noise) for noise in noises])
    own = int(np.abs(noises - 2.0).argmin())
    counts = {kind: [0, 0] for kind in ("harmful", "equal", "good", "clearly harmful")}
    lost = []  # what accepted merges truly lose on their worst task
    for number in range(300):
        kind = ("harmful", "equal", "good")[number % 3]
        shift, level = 0.0, own
        if kind == "harmful":  # on one of the two tasks, or on both; the other may gain
            spoilt = random.integers(3)
            shift = random.uniform(0.03, 0.5) if spoilt != 1 else -random.uniform(0, 0.1)
            level = int(random.integers(own + 1, len(noises))) if spoilt != 0 else int(random.integers(0, own + 1))
        elif kind == "good":
            shift, level = -random.uniform(0.03, 0.2), int(random.integers(0, own))
        true = {"retrieval/x": -shift * ease, "sts/x": truth[level] - truth[own]}
        single, merge = queries(random, size[0], abs(shift))
        if shift < 0:
            single, merge = merge, single  # it is the single model that is spoilt
        shared, rest = random.normal(size=size[1]), random.normal(size=(2, size[1]))
        gold = random.integers(0, 6, size=size[1]).astype(float)
        cosine = [gold + noises[at] * (0.7 * shared + 0.7 * rest[i]) for i, at in enumerate((level, own))]
        graded = [{"id": list(range(size[1])), "score": gold, "cosine": c} for c in cosine]
        found = differences(
            EVALUATORS, {"retrieval/x": items(merge), "sts/x": graded[0]}, {"retrieval/x": items(single), "sts/x": graded[1]},
            **SETTINGS | {"seed": number},
        )  # fmt: skip
        # Beyond four standard errors: an interval of two reaches 0 in at most 1 of 40 cases.
        clearly = any(true[name] < -(one.high - one.low) for name, one in found.items())
        for group in (kind, *(["clearly harmful"] if clearly else [])):
            counts[group][0] += accepted(found)
            counts[group][1] += 1
        if accepted(found):
            lost.append(-min(true.values()))
    share = {kind: yes / of for kind, (yes, of) in counts.items()}
    harmed = [loss for loss in lost if loss > 1e-9]
    print(
        f"{size}: accepted of {counts}, {share}; {len(harmed)} of {len(lost)} accepted ones truly lose on a task, "
        f"median {np.median(harmed):.3f}, most {max(harmed):.3f}"
    )
    assert counts["clearly harmful"][1] > 10
    assert share["clearly harmful"] <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / counts["clearly harmful"][1])
    assert share["good"] >= 0.95 - 2 * np.sqrt(
        0.95 * 0.05 / counts["good"][1]
    )  # two tasks, each found worse by chance in at most 1 of 40 cases
    assert share["equal"] <= 0.5 + 2 * np.sqrt(0.25 / counts["equal"][1])  # better on the mean by chance: no more is asked
