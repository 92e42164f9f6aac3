import numpy as np
import pytest

from pipeline.corpus.collection import Judged
from pipeline.evaluator.clustering import Clustering
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.scores import averaged, by_kind, mean, means, scored
from pipeline.evaluator.sts import Sts

RETRIEVAL = Retrieval(depth=100)
EVALUATORS = by_kind({"search": RETRIEVAL, "sts": Sts(), "clusters": Clustering(experiments=1, texts=1, batch=1, seed=0)})


def entry(task, corpus, value, kind=None, deal=None):
    return {"task": task, "kind": kind or task, "corpus": corpus, "deal": deal, "value": value}


def test_a_record_says_what_was_scored_by_what_how_high_and_how_sure():
    documents = {f"d{i}": f"text {i}" for i in range(6)}
    queries = {f"q{i}": f"text {i}" for i in range(6)}
    collection = Judged(
        "laws", "legal", queries, documents, {f"q{i}": {f"d{i}": 1} for i in range(6)}, kind="retrieval", deal="random"
    )

    def encode(texts, side, task):
        assert task == "legal"
        return np.eye(6, dtype=np.float32)[[int(text[-1]) for text in texts]]

    section = {"resamples": 50, "confidence": 0.95}
    found, items = scored(RETRIEVAL, collection, RETRIEVAL.evaluate(encode, collection), section, 0)
    identity = {"task": "legal", "kind": "retrieval", "corpus": "laws", "deal": "random"}
    assert found == identity | {
        "metric": "ndcg@10", "value": 1.0, "interval": {"low": 1.0, "high": 1.0}, "others": {"recall@100": 1.0, "mrr@10": 1.0},
        "num_items": 6, "num_groups": 6,
    }  # fmt: skip
    assert items.items() >= identity.items()
    assert items["ndcg@10"] == [1.0] * 6


def test_two_evaluators_of_one_kind_are_told_and_none_is_overwritten():
    with pytest.raises(ValueError, match="one and two both score tasks of kind sts; set one to null"):
        by_kind({"one": Sts(), "two": Sts()})


def test_the_mean_is_over_tasks_and_leaves_out_other_deals_and_what_is_no_sample():
    entries = {
        "a": entry("legal", "x", 0.2, "retrieval"), "b": entry("legal", "y", 0.4, "retrieval"), "c": entry("sts", "x", 0.9),
        "d": entry("legal", "x", 0.0, "retrieval", deal="random"), "e": entry("clustering", "x", 0.0),
    }  # fmt: skip
    assert averaged(EVALUATORS, entries) == ["a", "b", "c"]
    assert mean(entries, ["a", "b", "c"]) == pytest.approx(0.6)
    assert means(EVALUATORS, {"m": entries}) == pytest.approx({"m": 0.6})
    assert averaged(EVALUATORS, {"e": entries["e"]}) == ["e"]  # where there is no sample at all
    assert averaged(EVALUATORS, {"d": entries["d"]}) == []


def test_models_that_were_scored_on_unlike_collections_have_no_means_to_compare():
    a, b = {"a": entry("sts", "x", 0.2)}, {"b": entry("sts", "y", 0.9)}
    with pytest.raises(ValueError, match="m was scored on b, n on a; only models of the same tasks can be compared"):
        means(EVALUATORS, {"n": a, "m": b})
    with pytest.raises(ValueError, match="m has no score on validation rows"):
        means(EVALUATORS, {"m": {"d": entry("sts", "x", 1.0, deal="random")}})
    with pytest.raises(ValueError, match="no score on b; scored were a"):
        mean(a, ["b"])
