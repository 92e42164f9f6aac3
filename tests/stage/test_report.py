import re

import pytest

from pipeline.checkpoint import read_json

MERGES, SINGLES = ("soup", "slerp"), ("base", "retrieval", "sts", "joint")


@pytest.fixture(scope="module")
def page(finished):
    return (finished / "data/report/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def chosen(finished):
    return read_json(finished / "checkpoints/final/chosen.json")


def test_the_page_asks_nothing_of_the_network(page):
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", page)
    assert not re.search(r"url\(\s*[\"']?https?:|@import|<script[^>]+src", page)


def test_the_page_names_every_model_with_its_score_and_every_reason(finished, page, chosen):
    for model in ("bm25", "static", *MERGES, *SINGLES, "backbone"):
        score = read_json(finished / f"data/metrics/evaluate/{model}.json")["test"]["retrieval/questions"]["value"]
        assert re.search(rf"<td>{model}\b.*?{score:.4f}", page, flags=re.DOTALL), model
    assert chosen["verdict"] in page
    assert page.count("text of a test row") >= 1
    assert "{{" not in page
    assert "Undefined" not in page


def test_the_page_shows_a_curve_for_every_training_of_params_yaml_alone(copied, run, page):
    assert all(f"<!-- {name} -->" in page for name in ("pretrain", "retrieval", "sts", "joint"))
    folder = copied(
        "data/config.yaml", "data/metrics", "data/evaluated", "data/curated", "checkpoints", drop=("experts", "sts")
    )
    assert (folder / "data/metrics/train/sts.csv").is_file()
    assert run(folder, "report") == 0
    later = (folder / "data/report/index.html").read_text(encoding="utf-8")
    assert later.count("<!-- loss -->") == page.count("<!-- loss -->") - 1


def test_the_plain_page_holds_the_verdict_and_one_table_row_for_each_model(finished, chosen):
    plain = (finished / "data/report/report.md").read_text(encoding="utf-8")
    assert chosen["verdict"] in plain
    assert plain.startswith(f"# Before and after\n\n{chosen['before']['sentence']}\n")
    table = plain.split("## Every model on test rows")[1].split("## ")[0].strip().splitlines()
    rows = [line for line in table if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    first = table.index(rows[0])
    assert table[first : first + len(rows)] == rows  # no blank line parts the table
    assert len(rows) == 2 + len(("bm25", "static", *MERGES, *SINGLES, "backbone"))


def test_the_page_shows_where_models_differ_and_how_their_vectors_lie(page):
    assert "Where the models differ" in page
    assert "against bm25" in page
    assert "<th>rankme</th>" in page


def test_a_model_that_was_not_evaluated_stops_the_report(copied, run, capsys):
    folder = copied("data/config.yaml", "data/metrics", "data/evaluated", "data/curated", "checkpoints/experts")
    (folder / "data/metrics/evaluate/soup.json").unlink()
    assert run(folder, "report") == 1
    assert "data/metrics/evaluate/soup.json is missing; run `dvc repro`" in capsys.readouterr().err
    assert not (folder / "data/report").exists()
    assert not (folder / "checkpoints/final").exists()
