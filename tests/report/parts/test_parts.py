"""Parts that say little more than their file holds."""

import re

import yaml

from pipeline.corpus.files import Dropped
from pipeline.evaluator.scores import Scores
from pipeline.evaluator.sts import Sts
from pipeline.report.gather import Card, Made, Verdict
from pipeline.report.told import Model

SPREAD = {"value": 0.02, "low": -0.01, "high": 0.05}
GAIN = {"value": 0.04, "low": 0.01, "high": 0.07}
LIMITS = {"confidence": 0.95, "task_confidence": 0.995, "margin": 0.02, "resamples": 50, "retention": 0.9}


def gated(facts):
    """Three merges: one without a gain, one accepted, one that is better and forgot."""
    stands = {
        name: {"mean": mean, "tasks": {"sts": SPREAD}, "detectable": 0.03}
        for name, mean in (("slerp", SPREAD), ("soup", GAIN), ("ties", GAIN))
    }
    kept = {"slerp": 0.95, "soup": 0.93, "ties": 0.85, "joint": 0.92}
    verdict = Verdict(
        model="soup",
        sentence="",
        rows="",
        best_single="joint",
        merges=stands,
        refused=["slerp", "ties"],
        kept=kept,
        forgot=["ties"],
        notices=[],
    )
    return facts(verdict=verdict, limits=LIMITS)


def test_each_merge_stands_with_its_bounds_the_margins_and_what_it_was_refused_for(facts, shown):
    run = gated(facts)
    html = shown("merges", run)
    assert "The gate: merges against joint" in html
    assert "must be above -0.02" in html
    assert "at least 0.9" in html
    assert re.findall(r"<td>(\w[^<]+)</td></tr>", html) == [
        "refused: no gain beyond chance",
        "accepted",
        "refused: kept too little",
    ]
    table = shown("merges", run, plain=True).strip().splitlines()[-5:]
    assert table == [
        "| merge | mean over tasks | sts | retention | smallest gain | verdict |",
        "|---|---|---|---|---|---|",
        "| slerp | +0.0200 [-0.0100, +0.0500] | +0.0200 [-0.0100, +0.0500] | 0.950 | 0.0300 | refused: no gain beyond chance |",
        "| soup | +0.0400 [+0.0100, +0.0700] | +0.0200 [-0.0100, +0.0500] | 0.930 | 0.0300 | accepted |",
        "| ties | +0.0400 [+0.0100, +0.0700] | +0.0200 [-0.0100, +0.0500] | 0.850 | 0.0300 | refused: kept too little |",
    ]


def test_derived_models_are_called_so(facts, shown):
    run = facts(verdict=gated(facts).verdict, limits=LIMITS, gated=("derived model", "derived models"))
    assert "The gate: derived models against joint" in shown("merges", run)
    assert "| derived model | mean over tasks |" in shown("merges", run, plain=True)


def test_a_task_whose_bound_lies_below_the_margin_is_named(facts, shown):
    run = facts(verdict=gated(facts).verdict, limits=LIMITS | {"margin": 0.01})
    assert "refused: no gain beyond chance, sts at risk" in shown("merges", run)


def of_corpus(value, corpus="x"):
    return {
        "task": "sts", "kind": "sts", "corpus": corpus, "deal": None, "metric": "spearman", "value": value, "others": {},
        "interval": {"low": value - 0.1, "high": value + 0.1}, "num_items": 9, "num_groups": 9,
    }  # fmt: skip


def retained(facts, *, shelf="backbone", guards=("laws",)):
    """The model off the shelf and one that gained at home, lost on a guard, and kept 0.8 of what it knew."""
    at = {"backbone": (0.5, 0.6, 1.0), "own": (0.75, 0.5, 0.8)}
    scores = {
        name: Scores(
            {
                "validation": {},
                "test": {"sts/x": of_corpus(home), "sts/laws": of_corpus(abroad, "laws")},
                "retention": {"general": {"order": kept, "neighbours": kept - 0.1, "texts": 380}},
            }
        )
        for name, (home, abroad, kept) in at.items()
    }
    rows = {name: {"test": {"sts/x": one.test["sts/x"]}, "mean": one.test["sts/x"]["value"]} for name, one in scores.items()}
    before = {"shelf": shelf, "final": "own", "rows": rows, "difference": None, "better": True, "sentence": "own is better."}
    verdict = Verdict(
        model="own",
        sentence="",
        rows="",
        best_single="own",
        merges={},
        refused=[],
        kept={"backbone": 1.0, "own": 0.8},
        forgot=["own"],
        notices=[],
    )
    return facts(scores=scores, before=before, guards=list(guards), verdict=verdict, limits=LIMITS, evaluators={"sts": Sts()})


def test_gains_at_home_stand_against_what_was_kept_and_lost_on_guards(facts, shown):
    plain = shown("retention", retained(facts), plain=True).strip().splitlines()
    assert plain[-4:] == [
        "| model | gain at home | kept: general (380 texts) | score on sts/laws, change |",
        "|---|---|---|---|",
        "| backbone | +0.0000 | 1.000, 0.900 | +0.0000 |",
        "| own (kept too little) | +0.2500 | 0.800, 0.700 | -0.1000 |",
    ]
    html = shown("retention", retained(facts))
    assert "Below 0.9 a model is not final." in html
    assert html.count("<!-- own -->") == html.count("<!-- backbone -->") == 1  # points of the picture


def test_without_the_model_off_the_shelf_on_the_page_gains_are_not_known(facts, shown):
    html = shown("retention", retained(facts, shelf=None))
    assert "The model off the shelf is not under `models`" in html
    assert "<svg" not in html
    assert shown("retention", facts()) is None


def test_before_and_after_come_first(facts, shown, root):
    run = retained(facts)
    assert shown("before", run, plain=True).startswith(
        "# Before and after\n\nown is better.\n\n| test rows | sts/x (spearman) |"
    )
    assert "| own (this run&#39;s) | 0.7500 [0.650, 0.850] |" in shown("before", run, plain=True).replace("'", "&#39;")
    parts = yaml.safe_load((root / "conf/report.yaml").read_text(encoding="utf-8"))["parts"]
    order = sorted(parts, key=lambda name: parts[name]["order"])
    assert order[:5] == ["before", "verdict", "notices", "merges", "retention"]


def test_vectors_are_shown_by_collection_and_model_and_what_was_not_measured_stays_empty(facts, shown):
    lies = {"base": {"b/x": {"rankme": 12.5}, "a/x": {}}, "soup": {"b/x": {"rankme": 2000.0, "alignment": 0.5}}}
    html = shown("geometry", facts(geometry=lies))
    assert re.findall(r"<summary>(\S+)</summary>", html) == ["b/x"]
    assert "<tr><td>base</td><td></td><td></td><td>12.500</td>" in html
    assert "<tr><td>soup</td><td>0.500</td><td></td><td>2,000</td>" in html


def test_tasks_of_mteb_have_a_column_each(facts, shown):
    html = shown("mteb", facts(mteb={"own": {"STS12": 0.5}, "base": {"SciFact": 0.25}, "bm25": {}}))
    assert "<th>STS12</th><th>SciFact</th>" in html
    assert '<tr class="final"><td>own</td><td>0.5000</td><td></td></tr>' in html
    assert "bm25" not in html


def test_forms_are_measured_or_equal(facts, shown):
    from pipeline.evaluator.scores import Scores

    entry = {
        "task": "sts",
        "kind": "sts",
        "corpus": "x",
        "deal": None,
        "metric": "spearman",
        "value": 0.5,
        "num_items": 3,
        "num_groups": 3,
    }
    scores = {"own": Scores({"validation": {}, "test": {"sts/x": entry, "affinity/x": entry | {"kind": "affinity"}}})}
    change = {"change": -0.01, "low": -0.02, "high": 0.0}
    forms = {"half": {"vector_bytes": 8, "test": {"sts/x": change}}, "onnx": {"vector_bytes": 16, "farthest": 1e-6}}
    run = facts(scores=scores, forms=forms)
    table = shown("forms", run, plain=True).strip().splitlines()[-4:]
    assert table == [
        "| form | bytes a vector | sts/x |",  # a collection that no form was measured on has no column
        "|---|---|---|",
        "| half | 8 | -0.0100 [-0.020, +0.000] |",
        "| onnx | 16 | equal within 1e-06 |",
    ]
    assert "<td>16</td><td>equal within 1e-06</td></tr>" in shown("forms", run)
    equal = facts(scores=scores, forms={"onnx": forms["onnx"]})
    assert shown("forms", equal).count("equal within 1e-06") == 2


def test_stress_is_drawn_along_numbers_and_listed_in_any_case(facts, shown):
    words = {"about": "words", "axis": "kind", "at": ["a", "b"], "rows": {"score": [0.5, 0.25]}}
    numbers = words | {"axis": "tokens", "at": [8, 16]}
    assert "<svg" in shown("stress", facts(stress={"length": numbers}))
    html = shown("stress", facts(stress={"typo": words}))
    assert "<svg" not in html
    assert "<tr><td>score</td><td>0.500</td><td>0.250</td></tr>" in html
    assert shown("stress", facts()) is None


def test_dropped_rows_are_counted_and_shown_with_their_reason(facts, shown):
    counts = {
        "raw": {"rows": {"sts": 8}, "rejected": 2, "documents": 0},
        "kept": {"train/sts": 7},
        "dropped": {"too short": 1},
        "funnel": [["read", 10]],
        "clusters": {},
        "similarity": [],
        "leakage": {},
        "controls": {},
    }
    row = Dropped("x", "sts", "too short", "line 3", "a <b>", "c")
    html = shown("curation", facts(cards=[Card(corpus="x", counts=counts, dropped={"too short": [row]})]))
    assert "10 records read, 7 kept, 1 dropped." in html
    assert "Dropped as “too short”: examples" in html
    assert "a &lt;b&gt;" in html
    assert 'style="opacity: .4; width: 1.4rem"' in html


def test_the_final_model_stands_behind_what_it_was_made_from_even_if_nobody_knows_that(facts, shown):
    made = {"checkpoints/base": Made(sha256="b" * 64, inputs={"data/curated": "c" * 64})}
    known = facts(made=made, models={"own": Model(path="checkpoints/base", gated=False, about="")})
    html = shown("origins", known)
    assert html.count("<rect") == 3
    assert 'class="box chosen"/><text x="369"' in html  # in the third column
    assert html.count('class="edge"') == 2
    assert shown("origins", facts(made=made)).count("<rect") == 2  # `own` lies elsewhere


def test_every_training_has_its_curve(facts, shown):
    points = [{"step": "0", "loss/sts": "1.5"}, {"step": "1", "loss/sts": "1.0"}]
    html = shown("curves", facts(curves=[("pretrain", points), ("sts", points)]))
    assert html.count("<!-- loss -->") == 2
    assert shown("curves", facts()) is None
