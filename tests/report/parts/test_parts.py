"""Parts that say little more than their file holds."""

import re

from pipeline.corpus.files import Dropped
from pipeline.report.gather import Card, Made, Verdict
from pipeline.report.told import Model

SPREAD = {"value": 0.02, "low": -0.01, "high": 0.05}


def test_each_merge_stands_with_its_differences_and_whether_it_was_accepted(facts, shown):
    stands = {name: {"mean": SPREAD, "tasks": {"sts": SPREAD}} for name in ("slerp", "soup")}
    verdict = Verdict(model="soup", sentence="", rows="", best_single="joint", merges=stands, refused=["slerp"])
    run = facts(verdict=verdict)
    html = shown("merges", run)
    assert "Merges against joint" in html
    assert re.findall(r"<td>(\w+)</td></tr>", html) == ["refused", "accepted"]
    table = shown("merges", run, plain=True).strip().splitlines()[-4:]
    assert table == [
        "| merge | mean over tasks | sts | verdict |",
        "|---|---|---|---|",
        "| slerp | +0.0200 [-0.0100, +0.0500] | +0.0200 [-0.0100, +0.0500] | refused |",
        "| soup | +0.0200 [-0.0100, +0.0500] | +0.0200 [-0.0100, +0.0500] | accepted |",
    ]

    derived = facts(verdict=verdict, gated=("derived model", "derived models"))
    assert "Derived models against joint" in shown("merges", derived)
    assert "| derived model | mean over tasks |" in shown("merges", derived, plain=True)


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
