import pytest

from pipeline.evaluator.clustering import Clustering
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.scores import Scores
from pipeline.report.told import Model

EVALUATORS = {
    "retrieval": Retrieval(depth=100),
    "clustering": Clustering(experiments=2, texts=10, batch=10, seed=0),
}
KEYS = {"retrieval": "ndcg@10", "clustering": "v_measure"}


def run_of(facts, answers, *, kind="retrieval", groups=30, **changes):
    """Facts of models: ``answers`` are, by name, the scores of the items of one collection."""
    of = {"task": kind, "kind": kind, "corpus": "x", "deal": None}
    items, scores = {}, {}
    for model, values in answers.items():
        names = [f"g{i % groups}" for i in range(len(values))]
        items[model] = {f"{kind}/x": of | {"id": list(map(str, range(len(values)))), "group": names, KEYS[kind]: values}}
        value = sum(values) / len(values)
        entry = {"metric": KEYS[kind], "value": value, "interval": {"low": 0.0, "high": 1.0}, "others": {"mrr@10": 0.5}}
        entry |= {"num_items": len(values), "num_groups": groups}
        scores[model] = Scores({"validation": {}, "test": {f"{kind}/x": of | entry}})
    about = {name: Model(path=f"x/{name}", gated=False, about="") for name in answers}
    return facts(**({"models": about, "items": items, "scores": scores, "evaluators": EVALUATORS} | changes))


def test_a_model_that_is_worse_beyond_chance_is_marked_and_one_that_is_alike_is_not(facts, shown):
    run = run_of(facts, {"own": [1.0] * 30, "far": [0.0] * 30, "near": [1.0] * 29 + [0.5]})
    html = shown("scores", run)
    assert html.count("significantly worse than the final model") == 2  # as a title, and for who hears the page
    assert html.index("<td>far</td>") < html.index("significantly worse") < html.index("<td>near</td>")
    plain = shown("scores", run, plain=True)
    assert "| own (final) | 1.0000 [0.000, 1.000] | 1.0000 |" in plain
    assert "| far | 0.0000 ▼ [0.000, 1.000] | 0.0000 |" in plain
    assert "| near | 0.9833 [0.000, 1.000] | 0.9833 |" in plain


def test_the_table_of_the_plain_page_is_not_parted_by_blank_lines(facts, shown):
    plain = shown("scores", run_of(facts, {"own": [1.0] * 30, "far": [0.0] * 30}), plain=True)
    table = plain[plain.index("| model") :].rstrip("\n").splitlines()
    assert len(table) == 4
    assert {line.count("|") for line in table} == {4}


def test_measures_and_items_are_told_by_the_kind_of_task(facts, shown):
    html = shown("scores", run_of(facts, {"own": [1.0, 0.0]}, groups=2))
    assert "ndcg@10, 2 queries</small>" in html
    assert "ndcg@10: 1 if what is relevant stands first" in html
    assert "Too few groups for any mark" not in html  # with nobody to compare
    assert "all drawn from the same texts" not in html
    html = shown("scores", run_of(facts, {"own": [1.0, 0.0], "far": [0.5, 0.5]}, groups=2))
    assert "Too few groups for any mark, whatever the difference: retrieval/x." in html
    assert "v_measure, 2 clusterings</small>" in (
        html := shown("scores", run_of(facts, {"own": [1.0, 0.0]}, kind="clustering", groups=2))
    )
    assert "Clusterings are all drawn from the same texts" in html


def test_what_sets_a_model_apart_is_told_and_baselines_are_not(facts, shown):
    models = {
        "own": Model(path="x", gated=False, about="all tasks in one model"),
        "bm25": Model(path=None, gated=False, about=""),
    }
    html = shown("scores", run_of(facts, {"own": [1.0]}, models=models))
    assert "own: all tasks in one model." in html
    assert "bm25:" not in html


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"_target_": "pipeline.pooling.standard.standard", "mode": "cls"}, "cls"),
        ({"_target_": "pipeline.pooling.latent_attention.LatentAttention", "num_latents": 8}, "latent attention"),
    ],
)
def test_the_page_says_so_where_another_pooling_was_chosen(facts, shown, node, name):
    said = (
        f"Token vectors become one by {name} pooling, which was chosen in place of the encoder's own; the model off the shelf "
    )
    said += "keeps its own."
    for plain in (True, False):
        assert said in shown("scores", facts(pooling=node), plain=plain).replace("&#39;", "'")
        assert "pooling" not in shown("scores", facts(), plain=plain)
