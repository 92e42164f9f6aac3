import numpy as np
import pytest
import scipy.stats

from pipeline.corpus.collection import Complexes
from pipeline.evaluator.items import grouped, summary
from pipeline.protein.evaluator.affinity import Affinity

SEED = np.random.default_rng(0)
SCORE = SEED.normal(7, 2, size=60)
PREDICTED = SCORE + SEED.normal(size=60)
STRATA = ["mutated=yes;source=A" if i % 3 else "mutated=no;source=B" for i in range(60)]
GROUPS = {str(i): str(i) for i in range(60)}
PAIRS = [(f"{i}", f"L{i}", f"R{i}", float(s)) for i, s in enumerate(SCORE)]


def predict(ligands, receptors):
    """Knows the complexes; a stranger's value is that of its ligand and, half and half, of its receptor."""
    return np.array([(PREDICTED[int(a[1:])] + PREDICTED[int(b[1:])]) / 2 for a, b in zip(ligands, receptors, strict=True)])


@pytest.fixture
def evaluated():
    collection = Complexes("x", "affinity", pairs=PAIRS, trained=[], strata=STRATA, groups=GROUPS)
    scores, items = Affinity(least=20, seed=0).evaluate(predict, collection)
    return scores, grouped(items, collection)


def test_the_three_measures_are_those_of_scipy(evaluated):
    scores, items = evaluated
    assert scores["spearman"] == pytest.approx(scipy.stats.spearmanr(PREDICTED, SCORE).statistic)
    assert scores["pearson"] == pytest.approx(scipy.stats.pearsonr(PREDICTED, SCORE).statistic)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean((PREDICTED - SCORE) ** 2)))
    assert items["prediction"] == pytest.approx(PREDICTED.tolist())


def test_with_other_partners_less_is_left(evaluated):
    assert evaluated[0]["shuffled"] < evaluated[0]["spearman"] - 0.1


def test_each_stratum_of_enough_complexes_has_its_measures_with_intervals(evaluated):
    evaluator = Affinity(least=30, seed=0)
    strata = evaluator.details(evaluated[1], resamples=400, confidence=0.95, seed=0)["strata"]
    assert sorted(strata) == ["all", "mutated=yes", "source=A"]  # of the others there are 20
    yes = np.array([i % 3 != 0 for i in range(60)])
    assert strata["mutated=yes"]["num_items"] == 40
    value, low, high = strata["mutated=yes"]["rmse"]
    assert value == pytest.approx(np.sqrt(np.mean((PREDICTED - SCORE)[yes] ** 2)))
    assert low < value < high
    value, low, high = strata["all"]["spearman"]
    assert low < value < high
    assert high - low < strata["mutated=yes"]["spearman"][2] - strata["mutated=yes"]["spearman"][1]


def test_a_value_that_is_no_number_is_told():
    with pytest.raises(ValueError, match="the model gives NaN for complex 1"):
        Affinity(least=20, seed=0).evaluate(
            lambda a, b: np.array([1.0, np.nan, 2.0] * 2),
            Complexes("x", "affinity", pairs=PAIRS[:3], trained=[], strata=STRATA[:3], groups=GROUPS),
        )


def test_intervals_are_wider_where_complexes_come_in_groups(evaluated):
    """Each complex four times over under one name is no more evidence than once."""
    evaluator, limits = Affinity(least=30, seed=0), {"resamples": 400, "confidence": 0.95, "seed": 0}
    items = {key: values * 4 for key, values in evaluated[1].items()}
    once, tied, alone = (
        summary(evaluator, one, limits, 0) for one in (evaluated[1], items, items | {"group": [str(i) for i in range(240)]})
    )
    assert (tied["num_groups"], tied["num_items"]) == (60, 240)
    assert (tied["low"], tied["high"]) == pytest.approx((once["low"], once["high"]), abs=1e-9)
    assert tied["strata"]["all"]["spearman"] == pytest.approx(once["strata"]["all"]["spearman"], abs=1e-9)
    assert alone["high"] - alone["low"] < 0.7 * (tied["high"] - tied["low"])


def test_a_single_group_gives_no_interval_but_all_that_a_measure_can_be(evaluated):
    items = evaluated[1] | {"group": ["1ABC"] * 60}
    found = summary(Affinity(least=20, seed=0), items, {"resamples": 100, "confidence": 0.95}, 0)
    assert (found["low"], found["high"], found["num_groups"]) == (-1, 1, 1)
    assert list(found["strata"]) == ["all"]
    assert found["strata"]["all"]["rmse"][1:] == [0, 16]


def test_intervals_of_few_groups_are_those_that_so_few_ask_for(evaluated):
    """Six entries of ten complexes: percentiles of draws of six, made wider for six (Hesterberg 2015), in all and in a stratum."""
    score, predicted = np.array(evaluated[1]["score"]), np.array(evaluated[1]["prediction"])
    groups = [str(i // 10) for i in range(60)]
    items = evaluated[1] | {"group": groups, "strata": ["kind=a" if i < 40 else "kind=b" for i in range(60)]}
    found = Affinity(least=30, seed=0).details(items, resamples=2000, confidence=0.95, seed=0)
    draw = np.random.default_rng(5)
    for stratum, num in (("all", 6), ("kind=a", 4)):
        rmse = []
        for _ in range(20_000):
            rows = np.concatenate([np.arange(10 * g, 10 * g + 10) for g in draw.integers(0, num, num)])
            rmse.append(np.sqrt(np.mean((predicted - score)[rows] ** 2)))
        tail = scipy.stats.norm.cdf(np.sqrt(num / (num - 1)) * scipy.stats.t.ppf(0.025, num - 1))
        narrow = scipy.stats.norm.cdf(scipy.stats.t.ppf(0.025, 10 * num - 1))
        _, low, high = found["strata"][stratum]["rmse"]
        half = (
            np.sqrt(num / (num - 1)) * scipy.stats.t.isf(0.025, num - 1) * np.std(rmse)
        )  # few draws lie beyond: t, where wider
        expected = np.quantile(rmse, [tail, 1 - tail])
        expected = min(expected[0], np.mean(rmse) - half), max(expected[1], np.mean(rmse) + half)
        assert high - low == pytest.approx(expected[1] - expected[0], rel=0.05)
        assert high - low > 1.1 * np.diff(np.quantile(rmse, [narrow, 1 - narrow]))[0]  # for as many single complexes
