"""What the page says of affinity and of shared stretches, rendered from made scores and a made card."""

import numpy as np

from pipeline.evaluator.scores import Scores
from pipeline.protein.evaluator.affinity import Affinity
from pipeline.report.gather import Card, Verdict

LIMITS = {"resamples": 50, "confidence": 0.95, "seed": 0}
EVALUATORS = {"affinity": Affinity(least=2, seed=0)}
VERDICT = Verdict(model="hp", sentence="", rows="", best_single="hp", merges={}, refused=[], kept={}, forgot=[], notices=[])


def run_of(facts, kind):
    draw = np.random.default_rng(0)
    score = np.linspace(2.5, 12.5, 20)
    items = {
        "id": [str(i) for i in range(20)],
        "prediction": (score + draw.normal(size=20)).tolist(),
        "score": score.tolist(),
        "group": [str(i // 2) for i in range(20)],
        "strata": [f"chains={kind}"] * 20,
    }
    of = {"task": "affinity", "kind": "affinity", "corpus": "x"} | items
    at = {"hp": {"own": of | {"deal": None}}, "hp_random": {"other": of | {"deal": "random"}}}
    one = EVALUATORS["affinity"].details(items, **LIMITS) | {"others": {"shuffled": 0.1}, "num_items": 20}
    scores = {m: Scores({"validation": {}, "test": dict.fromkeys(own, one)}) for m, own in at.items()}
    return facts(items=at, scores=scores, controls={"hp": ["hp_random"]}, evaluators=EVALUATORS, verdict=VERDICT)


def test_the_page_speaks_of_chains_only_where_they_are_marked(facts, shown):
    joined, marked = (shown("affinity", run_of(facts, kind)) for kind in ("joined", "marked"))
    assert "no chain, or side whose chains are joined without a mark, of a test complex is related" in joined
    assert "no chain of a test complex is related" in marked
    assert "joined without a mark" not in marked


def test_the_page_says_that_the_papers_rmse_is_no_comparison(facts, shown):
    text = shown("affinity", run_of(facts, "marked"))
    assert "pKd as measured, 2.5 to 12.5" in text
    assert "its RMSE and Pearson are no comparison" in text


def test_the_price_stands_in_both_pages_and_the_models_predictions_beside_its_controls(facts, shown):
    run = run_of(facts, "marked")
    html, plain = shown("affinity", run), shown("affinity", run, plain=True)
    assert '<tr class="final"><td>hp<small>own, 20 and 20 complexes</small></td>' in html
    assert "+0.000" in html  # the control answers the same
    assert "<!-- hp on x -->" in html
    assert "<!-- hp_random on x @ random -->" in html
    rows = [line for line in plain.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| hp |")


def test_a_page_of_texts_says_nothing_of_proteins_and_how_to_predict_stands_where_the_final_model_does(facts, shown):
    assert shown("affinity", facts()) is None
    assert shown("predict", facts()) is None
    assert 'AffinityModel.load(Path("checkpoints/final"))' in shown("predict", run_of(facts, "marked"))


def test_shared_stretches_stand_beside_what_chance_gives(facts, shown):
    alignments = {"columns": 50, "identity": 0.3, "score": 92, "rows": 7, "groups": 5, "pairs": 40, "pairs_aligned": 9}
    shared = {
        "of": {"rows": 31, "groups": 22},
        "residues_in_a_row": {"30": {"rows": 11, "groups": 8}},
        "longest": 333,
        "alignments": alignments | {"by_chance": {"rows": 2, "groups": 1}},
    }
    counts = {
        "raw": {"rows": {"affinity": 4}, "rejected": 0, "documents": 0},
        "kept": {},
        "dropped": {},
        "funnel": [["read", 4]],
        "clusters": {},
        "similarity": [],
        "leakage": {"test in train": [0] * 10},
        "controls": {},
    }

    def page(card):
        return shown("curation", facts(cards=[Card(corpus="x", counts=card, dropped={})]))

    plain = page(counts)
    assert "texts of test in train" in plain
    assert "longest run" not in plain
    counts |= {"compared": {"test in train": "chains and sides"}}
    counts |= {"stretches": {"test in train": shared, "test in train, dealt by random": shared | {"alignments": alignments}}}
    text = page(counts)
    assert "chains and sides of test in train" in text
    for cell in (
        "<td>31</td><td>22</td>",
        "<td>11<small>8 groups</small></td>",
        "<td>333</td>",
        "<td>7<small>5 groups</small></td>",
    ):
        assert text.count(cell) == 2
    assert text.count("<td>2<small>1 groups</small></td>") == 1
