"""Intervals and marks on simulated models whose true difference is known: repeated often enough to see what they promise.

Bounds are those promised (93 to 97 %, 5 %, 1 %), with two standard errors of the repetitions for rates of false results; three where
the rates are 42 (false marks), of which one beyond two is to be expected.
TRIBUTARY_REPEATS=10 repeats the gate's ten times as often. `pytest -m slow -s tests/evaluator/test_simulation.py` prints the rates.
"""

import os

import numpy as np
import pytest

from pipeline.evaluator import comparison, gate
from pipeline.evaluator.comparison import exchanges_needed, significant
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts
from pipeline.metric import spearman

SETTINGS = {"resamples": 400, "confidence": 0.95, "seed": 0}
REPEATS = int(os.environ.get("TRIBUTARY_REPEATS", "1"))
EVALUATORS = {"retrieval": Retrieval(depth=100), "sts": Sts()}
GAINS = np.array([0.0, 0.3869, 0.4307, 0.5, 0.6309, 1.0])  # what one answer in ten gives, by rank; most are 0 or 1


def queries(random, num, shift):
    """nDCG of two models on ``num`` queries that are hard or easy for both; B's answers are worse with probability ``shift``."""
    ease = random.beta(0.8, 0.8, size=num)
    a, b = (GAINS[(random.random((num, 5)) < ease[:, None]).sum(1)] for _ in "ab")
    worse = random.random(num) < shift
    return a, np.where(worse, 0.0, b)


def identified(items):
    """``items`` by label ``task/corpus``, each with the identity that `evaluate` writes beside it."""
    return {
        name: {"task": name.split("/")[0], "kind": name.split("/")[0], "corpus": name.split("/")[1], "deal": None, **one}
        for name, one in items.items()
    }


def stand(evaluators, single, merges, **settings):
    return gate.stand(evaluators, identified(single), {name: identified(one) for name, one in merges.items()}, **settings)


def differences(evaluators, a, b, **settings):
    return comparison.differences(evaluators, identified(a), identified(b), **settings)


def p_values(evaluators, a, b, **settings):
    return comparison.p_values(evaluators, identified(a), identified(b), **settings)


def items(values, groups=None):
    ids = list(range(len(values)))
    return {"id": ids, "ndcg@10": values, "group": ids if groups is None else groups}


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


def in_groups(random, num):
    """Group numbers of ``num`` items: sizes from 1 up, 6 on average, a few large ones."""
    sizes = random.geometric(1 / 6, size=num)
    return np.repeat(np.arange(num), sizes)[:num]


def close_queries(random, groups, gains):
    """nDCG of models that answer most queries alike: each wins or loses a fifth of them by chance, in a group more of one kind, and is
    truly better than the first by its gain."""
    num = len(groups)
    shared = random.choice(GAINS[1:-1], size=num)
    found = [shared]
    for gain in gains[1:]:
        lean = random.choice([-0.6, 0.6], size=num)[groups] if groups[-1] < num - 1 else np.zeros(num)
        step = random.choice([0.1, 0.3], size=num)  # 0.2 on average
        if gain > 0.016:  # more than the losses there are
            win, loss = np.full(num, gain / 0.2), np.zeros(num)
        else:
            win, loss = 0.1 * (1 + lean) + gain / 0.4, 0.1 * (1 - lean) - gain / 0.4
        chance = random.random(num)
        won, lost = chance < win, chance > 1 - loss
        found.append(shared + step * (won.astype(float) - lost.astype(float)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("num", [5, 8, 13, 20, 60, 150, 600])
def test_equal_models_are_called_different_in_at_most_5_of_100_cases(num, grouped):
    """A table of one cell, and one of eight models: any mark."""
    random = np.random.default_rng([num, grouped])
    repeats = {"one": 300 * REPEATS, "eight": 60 * REPEATS}
    false = dict.fromkeys(("retrieval", "sts", "eight"), 0)
    for repeat in range(repeats["one"]):
        groups = in_groups(random, num) if grouped else np.arange(num)
        effect = random.normal(size=(9, num))[:, groups] if grouped else np.zeros((9, num))
        ease = random.normal(size=num)
        models = [GAINS[np.clip(3 + ease + e + random.normal(size=num), 0, 5).astype(int)] for e in effect]
        gold = random.integers(0, 6, size=num).astype(float)
        cosine = [gold + 2 * random.normal(size=num) + e for e in effect[:2]]
        graded = [{"id": list(range(num)), "score": gold, "cosine": c, "group": groups.tolist()} for c in cosine]
        ranked = [items(values, groups.tolist()) for values in models]
        once = {"exchanges": exchanges_needed(1, confidence=0.95), "seed": repeat}
        for task, (a, b) in (("retrieval", ranked[:2]), ("sts", graded)):
            p = p_values(EVALUATORS, {f"{task}/x": a}, {f"{task}/x": b}, **once)
            false[task] += any(significant({("m", name): one for name, one in p.items()}, confidence=0.95).values())
        if repeat < repeats["eight"]:
            many = {"exchanges": exchanges_needed(8, confidence=0.95), "seed": repeat}
            p = {
                (str(m), "retrieval/x"): p_values(EVALUATORS, {"retrieval/x": one}, {"retrieval/x": ranked[0]}, **many)[
                    "retrieval/x"
                ]
                for m, one in enumerate(ranked[1:])
            }
            false["eight"] += any(significant(p, confidence=0.95).values())
    rates = {name: count / repeats["eight" if name == "eight" else "one"] for name, count in false.items()}
    print(f"{num} items{' in groups' if grouped else ''}: false marks {rates}")
    for name, rate in rates.items():
        assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats["eight" if name == "eight" else "one"]), name


class Graded:
    """Cosines of pairs whose Spearman correlation is known: the more noise, the lower."""

    NOISE = np.linspace(1.6, 2.4, 9)

    def __init__(self):
        random = np.random.default_rng(9)
        gold, noise = random.integers(0, 6, size=400_000).astype(float), random.normal(size=400_000)
        self.truth = np.array([float(spearman(gold + level * noise, gold)) for level in self.NOISE])
        self.own = float(np.interp(2.0, self.NOISE, self.truth))

    def level(self, gain):
        return float(np.interp(self.own + gain, self.truth[::-1], self.NOISE[::-1]))

    def pairs(self, random, groups, gains):
        """Models whose noise is mostly the first one's; in groups a part of what is their own is common to a group."""
        num = len(groups)
        gold, shared = random.integers(0, 6, size=num).astype(float), random.normal(size=num)
        found = []
        for gain in gains:
            common = random.normal(size=num)[groups]
            noise = 0.98 * shared + np.sqrt(1 - 0.98**2) * (0.6 * common + 0.8 * random.normal(size=num))
            found.append(
                {"id": list(range(num)), "score": gold, "cosine": gold + self.level(gain) * noise, "group": groups.tolist()}
            )
        return found


GRADED = Graded()
RULE = {"resamples": 500, "confidence": 0.95, "task_confidence": 0.995, "margin": 0.01}


def round_of_the_gate(random, rows, grouped, *, singles, gains, seed):
    """Stands of merges with the true ``gains`` (retrieval, sts) against the best of equal single models, chosen as `final` does."""
    groups = [in_groups(random, num) if grouped else np.arange(num) for num in rows]
    known = [(0.0, 0.0)] * singles + list(gains)
    ranked = close_queries(random, groups[0], [gain for gain, _ in known])
    graded = GRADED.pairs(random, groups[1], [gain for _, gain in known])
    models = [
        {"retrieval/x": items(a, [f"q{g}" for g in groups[0]]), "sts/x": b | {"group": [f"p{g}" for g in groups[1]]}}
        for a, b in zip(ranked, graded, strict=True)
    ]
    whole = {name: np.ones((1, len(one["id"])), dtype=np.uint16) for name, one in models[0].items()}
    means = [
        float(np.mean([EVALUATORS[one["kind"]].resampled(one, whole[n])[0] for n, one in identified(model).items()]))
        for model in models[:singles]
    ]
    best = models[int(np.argmax(means))]
    return stand(EVALUATORS, best, {str(i): model for i, model in enumerate(models[singles:])}, **RULE, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("rows", [(60, 60), (370, 640)])
@pytest.mark.parametrize(("merges", "singles"), [(1, 1), (8, 1), (8, 4)])
def test_of_equal_merges_one_becomes_final_in_at_most_5_of_100_cases(merges, singles, rows, grouped):
    random = np.random.default_rng([merges, singles, *rows, grouped])
    repeats, final, better = 60 * REPEATS, 0, 0
    for seed in range(repeats):
        found = round_of_the_gate(random, rows, grouped, singles=singles, gains=[(0.0, 0.0)] * merges, seed=seed)
        final += any(one.accepted for one in found.values())
        better += any(one.mean.low > 0 for one in found.values())
    told = f"{merges} merges, {singles} singles, {rows} rows{' in groups' if grouped else ''}"
    print(f"{told}, all equal: final {final / repeats:.3f}, mean above 0 {better / repeats:.3f}")
    assert final / repeats <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)
    assert better / repeats <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("rows", [(60, 60), (370, 640)])
def test_a_merge_that_loses_the_margin_on_a_task_passes_in_at_most_1_of_100_cases(rows, grouped):
    """What it gains on the other task makes the mean better in each round."""
    random = np.random.default_rng([1, *rows, grouped])
    repeats, passed = 150 * REPEATS, 0
    for seed in range(repeats):
        loss = -0.01 if seed % 2 else -0.015
        gains = (loss, 0.06) if seed % 4 < 2 else (0.06, loss)
        (found,) = round_of_the_gate(random, rows, grouped, singles=1, gains=[gains], seed=seed).values()
        passed += found.accepted
    print(f"{rows} rows{' in groups' if grouped else ''}, .010 or .015 lost on a task: final {passed / repeats:.4f}")
    assert passed / repeats <= 0.01 + 2 * np.sqrt(0.01 * 0.99 / repeats)


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_the_larger_the_gain_and_the_more_rows_the_more_often_a_better_merge_passes(grouped):
    found = {}
    for rows in ((60, 60), (370, 640), (700, 700), (3000, 3000)):
        for gain in (0.005, 0.01, 0.02):
            random = np.random.default_rng([2, *rows, grouped, int(gain * 1000)])
            repeats = 20 * REPEATS
            passed = sum(
                next(
                    iter(round_of_the_gate(random, rows, grouped, singles=1, gains=[(gain, gain)], seed=seed).values())
                ).accepted
                for seed in range(repeats)
            )
            found[rows, gain] = passed / repeats
            print(
                f"{rows} rows{' in groups' if grouped else ''}, {gain:.3f} better on both tasks: final {passed / repeats:.2f}"
            )
    assert found[(3000, 3000), 0.02] >= 0.95
    assert found[(3000, 3000), 0.005] <= found[(3000, 3000), 0.01] <= found[(3000, 3000), 0.02]
    assert found[(60, 60), 0.02] <= found[(700, 700), 0.02] <= found[(3000, 3000), 0.02]
