"""How parts become a page."""

from dataclasses import replace

import pytest
import yaml

from pipeline.checkpoint import write_json
from pipeline.protein.report import TEMPLATES as OF_PROTEINS
from pipeline.report import render
from pipeline.report.render import TEMPLATES, rendered, sections

NEVER_MISSING = {"before", "verdict", "scores", "curation", "use"}
SHARED = {"base.html", "index.html", "report.md", "macros.html", "style.css"}


@pytest.fixture(scope="module")
def parts(root):
    return yaml.safe_load((root / "conf/report.yaml").read_text(encoding="utf-8"))["parts"]


def test_of_a_run_of_which_little_is_known_a_page_is_made_and_parts_without_facts_are_left_out(parts, facts):
    shown = sections(parts, facts())
    assert {section.name for section in shown} == NEVER_MISSING
    page = rendered("index.html", sections=shown)
    assert "own is final." in page
    assert "None" not in page


def test_parts_stand_in_their_order_and_null_leaves_one_out(parts, facts):
    chosen = {
        "use": parts["use"] | {"order": 1},
        "verdict": parts["verdict"] | {"order": 2},
        "curation": None,
        "scores": parts["scores"],
    }
    assert [section.name for section in sections(chosen, facts())] == ["use", "verdict", "scores"]


def test_every_template_is_that_of_a_part(parts):
    names = {one["part"]["_target_"].rpartition(".")[2] for one in parts.values()}
    assert {file.name for file in TEMPLATES.iterdir()} - SHARED <= {f"{name}.{end}" for name in names for end in ("html", "md")}
    assert {file.stem for folder in (TEMPLATES, OF_PROTEINS) for file in folder.iterdir()} >= names


def test_what_a_person_wrote_cannot_become_markup(facts):
    verdict = replace(facts().verdict, sentence="<script>1</script>")
    node = {"_target_": "pipeline.report.parts.verdict.verdict"}
    (section,) = sections({"verdict": {"order": 0, "part": node}}, facts(verdict=verdict))
    assert "&lt;script&gt;" in section.html
    assert "<script>" not in rendered("index.html", sections=[section])


def test_the_plain_page_has_a_blank_line_between_parts_and_none_within_a_table():
    two = [render.Section("a", "", "| a |\n|---|\n| 1 |\n"), render.Section("b", "", ""), render.Section("c", "", "end\n\n")]
    assert rendered("report.md", sections=two) == "| a |\n|---|\n| 1 |\n\nend\n\n"


def page_of(*experts):
    """As much of a composed configuration as says which stages it has."""
    named = {name: {} for name in experts}
    return {"train": named, "merge": {}, "derive": {}, "baseline": {}, "models": named}


def test_the_cost_page_lists_stages_by_their_seconds_and_is_of_the_same_make(tmp_path, monkeypatch):
    from pipeline.report.costs import record_cost

    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "costs/train@a&b.json", {"stage": "train@a&b", "seconds": 30.0, "peak_mb": 5})
    write_json(tmp_path / "costs/train@gone.json", {"stage": "train@gone", "seconds": 70.0, "peak_mb": 5})
    record_cost("mine", 10.0, page_of("a&b"))
    page = (tmp_path / "costs/index.html").read_text(encoding="utf-8")
    assert "40 s in all" in page
    assert "train@gone" not in page  # an expert that left the page
    assert page.index("train@a&amp;b") < page.index("<td>mine</td><td>10.0</td>")
    assert (TEMPLATES / "style.css").read_text(encoding="utf-8").strip() in page
    assert "../data/report/index.html" in page


def test_a_stage_that_took_no_time_has_a_cost_page_too(tmp_path, monkeypatch):
    from pipeline.report.costs import record_cost

    monkeypatch.chdir(tmp_path)
    record_cost("mine", 0.0, page_of())
    assert "width: 0.0rem" in (tmp_path / "costs/index.html").read_text(encoding="utf-8")


def test_what_the_run_took_stands_in_a_line_that_the_report_shows_as_a_picture(tmp_path, monkeypatch):
    from pipeline.report.costs import of_page, record_cost, recorded, total

    monkeypatch.chdir(tmp_path)
    names = of_page(page_of("a"))
    assert total(recorded(names)) == ""
    write_json(tmp_path / "costs/train@a.json", {"stage": "train@a", "seconds": 90.0, "peak_mb": 5_000_000})
    record_cost("evaluate@a", 30.0, page_of("a"))
    line = "2.0 minutes in all, 1.5 of them to make the models; at most 5000.0 GB of memory"
    assert total(recorded(names)) == line
    assert f">Cost: {line}</text>" in (tmp_path / "costs/total.svg").read_text(encoding="utf-8")
    assert 'src="../../costs/total.svg"' in (TEMPLATES / "before.html").read_text(encoding="utf-8")
