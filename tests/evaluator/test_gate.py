import numpy as np
import pytest

from pipeline.evaluator import gate
from pipeline.evaluator.clustering import Clustering
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.scores import mean
from pipeline.evaluator.sts import Sts

EVALUATORS = {
    "retrieval": Retrieval(depth=100),
    "sts": Sts(),
    "clustering": Clustering(experiments=1, texts=1, batch=1, seed=0),
}
SETTINGS = {"resamples": 2000, "confidence": 0.95, "task_confidence": 0.995, "margin": 0.01, "seed": 0}


def identified(items):
    """``items`` by label ``task/corpus``, each with the identity that `evaluate` writes beside it."""
    return {
        name: {"task": name.split("/")[0], "kind": name.split("/")[0], "corpus": name.split("/")[1], "deal": None, **one}
        for name, one in items.items()
    }


def stand(evaluators, single, merges, **settings):
    return gate.stand(evaluators, identified(single), {name: identified(one) for name, one in merges.items()}, **settings)


def ranked(values, groups=None):
    ids = [str(i) for i in range(len(values))]
    return {"id": ids, "ndcg@10": list(values), "group": groups or ids}


def judged(single, merges, **changes):
    return stand(EVALUATORS, single, merges, **SETTINGS | changes)


def two_tasks(gain, other, num=400, seed=0):
    """Items of a single model, and of one that gains ``gain`` and ``other`` on the average of two retrieval-like tasks."""
    random = np.random.default_rng(seed)
    base = random.random((2, num)) * 0.5 + 0.2
    moved = base + np.array([[gain], [other]]) + 0.02 * random.normal(size=(2, num))
    gold = random.permutation(num).astype(float)
    single = {
        "retrieval/x": ranked(base[0]),
        "sts/x": {"id": list(range(num)), "cosine": gold, "score": gold, "group": [f"p{i}" for i in range(num)]},
    }
    merge = {"retrieval/x": ranked(moved[0]), "sts/x": single["sts/x"]}
    return single, merge


def test_the_mean_is_over_tasks_each_over_its_collections():
    values = {"retrieval/a": 0.1, "retrieval/b": 0.3, "retrieval/c": 0.5, "sts/x": 0.9}
    entries = identified({name: {"value": value} for name, value in values.items()})
    assert mean(entries, list(entries)) == pytest.approx(0.6)


def test_a_clear_gain_without_a_loss_is_accepted_and_an_equal_merge_is_not():
    single, better = two_tasks(0.05, 0)
    found = judged(single, {"better": better, "equal": single})
    assert found["better"].accepted
    assert found["better"].mean.value == pytest.approx(0.025, abs=0.002)
    assert 0 < found["better"].mean.low < found["better"].mean.value < found["better"].mean.high
    assert found["better"].detectable == pytest.approx(found["better"].mean.value - found["better"].mean.low)
    assert not found["equal"].accepted
    assert (found["equal"].mean.value, found["equal"].mean.low) == (0, 0)


def test_a_gain_within_chance_is_refused_however_positive():
    single, _ = two_tasks(0, 0, num=60)
    random = np.random.default_rng(3)
    noisy = single | {"retrieval/x": ranked(np.asarray(single["retrieval/x"]["ndcg@10"]) + 0.01 + 0.3 * random.normal(size=60))}
    (found,) = judged(single, {"m": noisy}, margin=1.0).values()
    assert found.mean.value > 0 > found.mean.low
    assert all(one.low > -1.0 for one in found.tasks.values())  # the mean alone refuses it
    assert not found.accepted


def three_and_one(gains):
    """Three retrieval collections and one more task, with a gain each, on plenty of rows."""
    random = np.random.default_rng(0)
    single, merge = {}, {}
    for number, gain in enumerate(gains):
        name = f"retrieval/{number}" if number < 3 else "reranking/3"
        base = random.random(3000)
        single[name], merge[name] = ranked(base), ranked(base + gain + 0.001 * random.normal(size=3000))
    evaluators = EVALUATORS | {"reranking": EVALUATORS["retrieval"]}
    return stand(evaluators, single, {"m": merge}, **SETTINGS)["m"]


def test_three_collections_of_one_task_weigh_as_much_as_one_of_another():
    found = three_and_one([0.002, 0.002, 0.002, -0.005])  # +.0005 over collections, -.0015 over tasks
    assert found.mean.value == pytest.approx(-0.0015, abs=1e-4)
    assert not found.accepted
    assert sorted(found.tasks) == ["reranking", "retrieval"]
    assert found.tasks["retrieval"].value == pytest.approx(0.002, abs=1e-4)
    assert three_and_one([0.002, 0.002, 0.002, 0.001]).accepted


def test_a_task_lost_by_the_margin_is_refused_whatever_the_mean():
    assert not three_and_one([0.2, 0.2, 0.2, -0.0101]).accepted
    assert three_and_one([0.2, 0.2, 0.2, -0.005]).accepted


def test_rows_too_few_to_rule_out_a_loss_let_nothing_pass():
    """Six queries, on which the merge loses a tenth of one: nobody can say that it loses less than the margin."""
    random = np.random.default_rng(0)
    base, other = random.random(6), random.random(2000)
    single = {"retrieval/x": ranked(base), "reranking/x": ranked(other)}
    merge = {"retrieval/x": ranked(base + np.array([0, 0, 0, -0.6, 0, 0])), "reranking/x": ranked(other + 0.3)}
    found = stand(EVALUATORS | {"reranking": EVALUATORS["retrieval"]}, single, {"m": merge}, **SETTINGS)["m"]
    assert found.mean.value > 0
    assert found.tasks["retrieval"].low < -0.01
    assert not found.accepted


def test_one_merge_alone_has_the_bounds_of_its_own_draws():
    """By hand: drawn again with numpy, cut at the tail of a t distribution made wider for 40 items, and never nearer than that."""
    from scipy.stats import norm, t

    random = np.random.default_rng(1)
    base = random.random(40)
    gain = 0.1 + 0.1 * random.normal(size=40)
    (found,) = judged({"retrieval/x": ranked(base)}, {"m": {"retrieval/x": ranked(base + gain)}}).values()
    order = np.argsort([str(i) for i in range(40)])  # groups are drawn in the order of their names
    index = np.random.default_rng([0, 40]).integers(0, 40, size=(2000, 40))
    drawn = gain[order][index].mean(1)
    share = 1 - norm.cdf(np.sqrt(40 / 39) * t.ppf(0.025, 39))
    low = gain.mean() - max(np.quantile(drawn - gain.mean(), share), drawn.std() * np.sqrt(40 / 39) * t.isf(0.025, 39))
    assert found.mean.value == pytest.approx(gain.mean())
    assert found.mean.low == pytest.approx(low)
    tail = 1 - norm.cdf(np.sqrt(40 / 39) * t.ppf(0.005, 39))
    far = max(np.quantile(drawn - gain.mean(), tail), drawn.std() * np.sqrt(40 / 39) * t.isf(0.005, 39))
    assert found.tasks["retrieval"].low == pytest.approx(gain.mean() - far)


def test_the_more_merges_the_further_the_bounds():
    random = np.random.default_rng(2)
    base = random.random(200)
    merges = {f"m{i}": {"retrieval/x": ranked(base + 0.2 * random.normal(size=200))} for i in range(8)}
    single = {"retrieval/x": ranked(base)}
    alone, beside = judged(single, {"m0": merges["m0"]})["m0"], judged(single, merges)["m0"]
    assert alone.mean.value == beside.mean.value
    assert beside.detectable > 1.15 * alone.detectable
    assert beside.tasks == alone.tasks


def test_groups_are_drawn_whole_and_one_corpus_together():
    """The same rows five times under one name say no more; a family that both tasks hold is drawn for both."""
    random = np.random.default_rng(4)
    base, gain = random.random(50), 0.05 + 0.2 * random.normal(size=50)
    names = [f"group f{i:02}" for i in range(50)]

    def collection(values, times):
        return ranked(np.repeat(values, times), [name for name in names for _ in range(times)])

    def low(times, corpus):
        evaluators = EVALUATORS | {"reranking": EVALUATORS["retrieval"]}
        at = {"retrieval/x": times, f"reranking/{corpus}": times}
        single, merge = ({name: collection(v, k) for name, k in at.items()} for v in (base, base + gain))
        return stand(evaluators, single, {"m": merge}, **SETTINGS)["m"].mean.low

    assert low(5, "x") == pytest.approx(low(1, "x"))
    # one corpus: the two tasks rise and fall together, so their mean is no surer than one; two corpora: surer by the root of two
    assert gain.mean() - low(1, "x") == pytest.approx(1.41 * (gain.mean() - low(1, "y")), rel=0.1)


def test_a_draw_that_leaves_a_collection_empty_is_left_out():
    """A task that three of thirty families hold is in most draws, not in all."""
    random = np.random.default_rng(5)
    families = [f"group f{i:02}" for i in range(30)]
    single = {"retrieval/x": ranked(random.random(30), families), "reranking/x": ranked(random.random(3), families[:3])}
    merge = {name: one | {"ndcg@10": [value + 0.1 for value in one["ndcg@10"]]} for name, one in single.items()}
    found = stand(EVALUATORS | {"reranking": EVALUATORS["retrieval"]}, single, {"m": merge}, **SETTINGS)["m"]
    assert found.mean.low == pytest.approx(0.1)
    assert found.accepted


def test_one_group_proves_nothing():
    single, merge = ({"retrieval/x": ranked(values, ["family"] * 3)} for values in ([0.1, 0.2, 0.3], [0.9, 0.8, 0.9]))
    (found,) = judged(single, {"m": merge}).values()
    assert found.mean.low == -1
    assert not found.accepted


def test_clusterings_have_no_part_in_it():
    single, merge = two_tasks(0.05, 0)
    lost = {"id": list("012"), "v_measure": [0.0, 0.0, 0.1], "group": list("012")}
    found = judged(single | {"clustering/x": lost | {"v_measure": [0.9] * 3}}, {"m": merge | {"clustering/x": lost}})["m"]
    assert sorted(found.tasks) == ["retrieval", "sts"]
    assert found.accepted
    assert judged({"clustering/x": lost}, {"m": {"clustering/x": lost}}) == {}


def test_models_that_saw_other_items_are_not_compared():
    single, merge = two_tasks(0.05, 0)
    merge["retrieval/x"] = merge["retrieval/x"] | {"id": merge["retrieval/x"]["id"][::-1]}
    with pytest.raises(AssertionError, match="saw different items"):
        judged(single, {"m": merge})


def test_groups_that_only_share_a_text_are_drawn_apart_for_each_task():
    """Their names are those of items, which mean nothing across tasks."""
    random = np.random.default_rng(6)
    base, gain = random.random(50), 0.05 + 0.2 * random.normal(size=50)
    evaluators = EVALUATORS | {"reranking": EVALUATORS["retrieval"]}

    def low(kind):
        names = [f"{kind} {i:02}" for i in range(50)]
        single, merge = ({f"{task}/x": ranked(v, names) for task in ("retrieval", "reranking")} for v in (base, base + gain))
        return stand(evaluators, single, {"m": merge}, **SETTINGS)["m"].mean.low

    assert gain.mean() - low("group") == pytest.approx(1.41 * (gain.mean() - low("text")), rel=0.1)


@pytest.mark.parametrize("num", [50, 100, 370])
def test_a_rare_large_loss_is_not_overlooked(num):
    """A query in fifty loses half of its score, .010 on average; samples that hold few such queries know nothing of them."""
    random = np.random.default_rng(num)
    graded = random.random(3000)
    evaluators = EVALUATORS | {"reranking": EVALUATORS["retrieval"]}
    other = {"reranking/y": ranked(graded)}, {"reranking/y": ranked(graded + 0.1)}
    passed = 0
    for _ in range(60):
        base = np.full(num, 0.5)
        lost = random.random(num) < 0.02
        merge = {"retrieval/x": ranked(np.where(lost, 0.0, base))} | other[1]
        found = stand(evaluators, {"retrieval/x": ranked(base)} | other[0], {"m": merge}, **SETTINGS | {"resamples": 200})
        passed += found["m"].accepted
    assert passed <= 2


def test_two_collections_of_one_group_each_prove_nothing():
    values = np.full(50, 0.5)
    single, merge = ({f"retrieval/{c}": ranked(v, [c] * 50) for c in "xy"} for v in (values, values + 0.0001))
    (found,) = judged(single, {"m": merge}).values()
    assert found.mean.low == -1
    assert not found.accepted


@pytest.mark.parametrize("num", [2, 3, 5])
def test_with_few_groups_a_gain_by_chance_hardly_ever_passes(num):
    random = np.random.default_rng(num)
    names = [f"group {i}" for i in range(num)]
    passed = 0
    for seed in range(200):
        base = random.random(num) * 0.2 + 0.4
        (found,) = judged(
            {"retrieval/x": ranked(base, names)}, {"m": {"retrieval/x": ranked(base + 0.1 * random.normal(size=num), names)}},
            seed=seed, resamples=400,
        ).values()  # fmt: skip
        passed += found.mean.low > 0
    assert passed <= 0.025 * 200 + 2 * np.sqrt(0.025 * 0.975 * 200)


def test_a_merge_of_other_tasks_is_told():
    single, merge = two_tasks(0.05, 0)
    with pytest.raises(ValueError, match=r"m was evaluated on retrieval/x, the best single model on retrieval/x, sts/x"):
        judged(single, {"m": {"retrieval/x": merge["retrieval/x"]}})
