"""Names and texts that are HTML, Markdown or formulas are shown letter by letter."""

from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from jinja2 import Environment
from markupsafe import Markup

from pipeline.report.markdown import lettered
from pipeline.report.pictures import Beside, Point, against, behaviours, beside, graph, losses

HTML = "</title><script>alert(1)</script>"
FORMULAS = ("$\\frac{1}{2}$", "$_$", "$", "a $x$ b $y", "$$", "\\$1", HTML, "&amp;", "größer")


def letters(svg):
    """The drawing as XML: ParseError where a text broke out of it."""
    return ElementTree.fromstring(svg)  # noqa: S314  our own drawing


def test_a_hash_that_is_a_script_stays_text():
    svg = graph([("data", "base")], {"base": HTML, "data": "<b>" * 5}, final=HTML)
    assert "<script" not in svg
    assert "<b>" not in svg
    letters(svg)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_is_no_formula_in_a_figure(name):
    table = [{"step": "0", f"loss/{name}": "1.0"}, {"step": "1", f"loss/{name}": "0.5"}]
    for svg in (
        losses([(name, table)]),
        behaviours({name: {"at": [1, 2], "axis": name, "rows": {name: [0.1, 0.2], f"{name} two": [0.1, 0.2]}}}),
        behaviours({name: {"at": [1, 2], "axis": name, "rows": {name: [0.1, 0.2]}}}),
        against([Point(name, 0.5, 0.1, True)], 0.1),
        beside([Beside(name, (0.5, 0.4, 0.6), (0.5, 0.4, 0.6))]),
    ):
        assert "<script" not in svg
        letters(svg)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("c|<b>", r"c\|&lt;b>"),
        ("[a](javascript:alert(1))", r"[a]\(javascript:alert(1))"),
        ("one\n\n# two", "one # two"),
        ("0.5 [0.4, 0.6]", "0.5 [0.4, 0.6]"),
        ("`code` and `a/b`", "`code` and `a/b`"),
    ],
)
def test_a_text_in_markdown_begins_no_tag_link_or_cell(text, plain):
    page = Environment(finalize=lettered, autoescape=False)  # noqa: S701
    assert page.from_string("| {{ text }} |").render(text=text) == f"| {plain} |"
    assert page.from_string("{{ text | safe }}").render(text=text) == text
    assert page.from_string("{{ 3 }}").render() == "3"


def test_a_page_of_html_escapes_by_itself_alone():
    assert lettered(SimpleNamespace(autoescape=True), "a|b<") == "a|b<"
    assert Environment(finalize=lettered, autoescape=True).from_string("{{ a }}").render(a="a|b<") == "a|b&lt;"
    assert lettered(SimpleNamespace(autoescape=False), Markup("a|b")) == "a|b"


def test_a_card_shows_names_and_licences_letter_by_letter(root):
    from pipeline.stage.final import ENVIRONMENT

    row = "| {{ one.name }} | {{ one.licence }} |"
    assert row.split(" |")[0] in (root / "pipeline/stage/final_templates/card.md").read_text(encoding="utf-8")
    told = ENVIRONMENT.from_string(row).render(one={"name": "c|<b>", "licence": "<script>"})
    assert told == r"| c\|&lt;b> | &lt;script> |"


def test_a_part_of_the_plain_page_shows_names_letter_by_letter(shown, facts):
    plain = shown("notices", facts(verdict=facts().verdict.__class__(
        model="own", sentence="own is final.", rows="", best_single="own", merges={}, refused=[], kept={}, forgot=[],
        notices=["corpus <script>|x: nothing"],
    )), plain=True)  # fmt: skip
    assert r"corpus &lt;script>\|x: nothing" in plain
