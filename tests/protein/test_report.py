"""What the page says of affinity and of shared stretches, rendered from made scores and a made card."""

import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.evaluator.scores import Scores
from pipeline.protein.evaluator.affinity import Affinity
from pipeline.protein.report import affinity_parts

LIMITS = {"resamples": 50, "confidence": 0.95, "seed": 0}
EVALUATORS = {"affinity": Affinity(least=2, seed=0)}


@pytest.fixture
def rendered(root):
    folder = root / "pipeline/stage/report_templates"
    environment = Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=True)
    return lambda name, **facts: environment.get_template(name).render(**facts)


def page(rendered, kind):
    draw = np.random.default_rng(0)
    score = np.linspace(2.5, 12.5, 20)
    items = {
        "id": [str(i) for i in range(20)], "prediction": (score + draw.normal(size=20)).tolist(), "score": score.tolist(),
        "group": [str(i // 2) for i in range(20)], "strata": [f"chains={kind}"] * 20,
    }  # fmt: skip
    of = {"task": "affinity", "kind": "affinity", "corpus": "x"} | items
    at = {"hp": {"test": {"own": of | {"deal": None}}}, "hp_random": {"test": {"other": of | {"deal": "random"}}}}
    one = EVALUATORS["affinity"].details(items, **LIMITS) | {"others": {"shuffled": 0.1}, "num_items": 20}
    scores = {m: Scores({"validation": {}, "test": dict.fromkeys(own["test"], one)}) for m, own in at.items()}
    parts = affinity_parts(scores, at, {"hp": ["hp_random"]}, EVALUATORS, "hp", LIMITS)
    return rendered("affinity.html", affinity=parts, confidence=0.95, verdict={"model": "hp"})


def test_the_page_speaks_of_chains_only_where_they_are_marked(rendered):
    joined, marked = page(rendered, "joined"), page(rendered, "marked")
    assert "no chain, or side whose chains are joined without a mark, of a test complex is related" in joined
    assert "no chain of a test complex is related" in marked
    assert "joined without a mark" not in marked


def test_the_page_says_that_the_papers_rmse_is_no_comparison(rendered):
    text = page(rendered, "marked")
    assert "pKd as measured, 2.5 to 12.5" in text
    assert "its RMSE and Pearson are no comparison" in text


def test_shared_stretches_stand_beside_what_chance_gives(rendered):
    alignments = {"columns": 50, "identity": 0.3, "score": 92, "rows": 7, "groups": 5, "pairs": 40, "pairs_aligned": 9}
    shared = {
        "of": {"rows": 31, "groups": 22}, "residues_in_a_row": {"30": {"rows": 11, "groups": 8}}, "longest": 333,
        "alignments": alignments | {"by_chance": {"rows": 2, "groups": 1}},
    }  # fmt: skip
    card = {"funnel": [["read", 4]], "clusters": {}, "similarity": [], "leakage": {"test in train": [0] * 10}, "controls": {}}
    plain = rendered("curation.html", card=card)
    assert "texts of test in train" in plain
    assert "longest run" not in plain
    card |= {"compared": {"test in train": "chains and sides"}}
    card |= {"stretches": {"test in train": shared, "test in train, dealt by random": shared | {"alignments": alignments}}}
    text = rendered("curation.html", card=card)
    assert "chains and sides of test in train" in text
    for cell in (
        "<td>31</td><td>22</td>",
        "<td>11<small>8 groups</small></td>",
        "<td>333</td>",
        "<td>7<small>5 groups</small></td>",
    ):
        assert text.count(cell) == 2
    assert text.count("<td>2<small>1 groups</small></td>") == 1
