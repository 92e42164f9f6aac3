"""Methods that look at rows set aside, on the tiny workspace: what is recorded, and that none other is looked at."""

import csv
import json

import pytest
from safetensors.torch import load_file

from pipeline.checkpoint import sha256
from pipeline.corpus.files import read
from pipeline.corpus.row import Row

INPUTS = ("checkpoints/base", "checkpoints/experts", "conf", "data/curated", "data/config.yaml")
WORDS_OF = (
    "merge",
    "--base",
    "checkpoints/base",
    "--expert",
    "checkpoints/experts/retrieval",
    "--expert",
    "checkpoints/experts/sts",
)
SMALL = (
    "merge.probe.pairs_per_task=10", "merge.probe.batch_size=5", "merge.probe.steps=6", "merge.probe.landscape=3",
    "runtime.accelerator=cpu", "runtime.threads=1", "runtime.tracker=disabled",
)  # fmt: skip


def test_the_search_is_recorded_and_repeatable_and_looks_at_no_row_that_is_held_out(probed, run):
    folder = probed(*INPUTS)
    for out, optimizer in (("x", "adam"), ("y", "adam"), ("z", "sgd")):
        words = ("merging=self_positioning", f"merge.probe.optimizer={optimizer}", f"out={out}")
        assert run(folder, *WORDS_OF, *SMALL, *words) == 0
    assert {name: sha256(folder / "x" / name) for name in ("model.safetensors", "landscape.png", "merge.json")} == {
        name: sha256(folder / "y" / name) for name in ("model.safetensors", "landscape.png", "merge.json")
    }
    assert sha256(folder / "x/model.safetensors") != sha256(folder / "z/model.safetensors")
    record = json.loads((folder / "x/merge.json").read_text())
    found = record["search"]
    assert len(record["coefficients"]["all"]) == 2
    assert found["norm"] > 0
    assert found["norm"] != 1
    assert {half: sorted(losses) for half, losses in found["held_out_loss"].items()} == {
        "start": ["retrieval", "sts"],
        "found": ["retrieval", "sts"],
    }
    for task, corpus in (("retrieval", "questions"), ("sts", "graded")):
        aside = {(corpus, row.query_id, row.document_id) for row in read(folder / f"data/curated/{corpus}/probe.parquet", Row)}
        halves = [{tuple(row) for row in found["probe"][half][task]} for half in ("search", "held_out")]
        assert [len(half) for half in halves] == [10, 10]
        assert not halves[0] & halves[1]
        assert halves[0] | halves[1] == aside
    with (folder / "x/trajectory.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    assert [point["step"] for point in points] == [str(step) for step in range(6)]
    assert float(points[0]["norm"]) == pytest.approx(1)
    with (folder / "x/landscape.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + 3 * 3
    assert not list((folder / "data").glob("runs/*"))
    assert json.loads((folder / "x/provenance.json").read_text())["inputs"]["data/curated"] == sha256(folder / "data/curated")


@pytest.mark.parametrize("method", ["ada_merging", "fisher", "greedy_soup", "lm_cocktail", "regmean"])
def test_every_method_with_a_probe_merges_real_experts_and_says_what_it_saw(probed, run, method):
    folder = probed(*INPUTS)
    for out in ("x", "y"):
        assert run(folder, *WORDS_OF, *SMALL, f"merging={method}", f"out={out}") == 0
    assert sha256(folder / "x") == sha256(folder / "y")
    found, experts = (
        [load_file(folder / name / "model.safetensors") for name in names]
        for names in (["x"], ["checkpoints/experts/retrieval", "checkpoints/experts/sts"])
    )
    mean = {key: (value + experts[1][key]) / 2 for key, value in experts[0].items()}
    moved = max(float((found[0][key] - value).abs().max()) for key, value in mean.items())
    assert moved < 0.1  # task vectors are about 1e-3; least squares on so few texts can be ten times as far
    if method != "greedy_soup":  # which may well choose both
        assert moved > 1e-7
    seen = json.loads((folder / "x/merge.json").read_text())["search"]
    assert len(seen["probe"]["search"]["sts"]) == 10
    if method == "lm_cocktail":
        assert sorted(seen["losses"][0]) == ["retrieval", "sts"]


def test_a_probe_that_the_rows_cannot_fill_is_told_and_nothing_is_written(probed, run, capsys):
    folder = probed(*INPUTS)
    assert run(folder, *WORDS_OF, *SMALL, "merging=self_positioning", "merge.probe.batch_size=500", "out=x") == 1
    said = capsys.readouterr().err
    assert "the probe of task retrieval needs twice 500 rows that nothing was trained on" in said
    assert "data/curated has 20 set aside; set curate.probe.rows.retrieval to 20" in said
    assert not (folder / "x").exists()


def test_mining_and_training_are_the_same_whatever_is_set_aside(finished, probed, run):
    folder = probed("checkpoints/base", "data/curated", "data/config.yaml")
    assert run(folder, "mine") == run(folder, "train", "retrieval") == 0
    made = [*(folder / "data/mined").rglob("*.parquet"), folder / "checkpoints/experts/retrieval/model.safetensors"]
    assert len(made) > 1
    for file in made:
        assert file.read_bytes() == (finished / file.relative_to(folder)).read_bytes(), file.name
