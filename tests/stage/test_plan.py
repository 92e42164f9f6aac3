"""What `python -m pipeline plan` says before anything starts."""

import json
import subprocess

import pytest

from pipeline.build import load
from pipeline.stage.due import Due, told
from pipeline.stage.plan import brief, lacking, line_of, rows_of, table
from pipeline.stage.tried import tried

INPUTS = ("checkpoints/base", "data/curated", "data/mined", "data/config.yaml")


def test_a_training_is_tried_on_its_own_batches_and_leaves_nothing(copied, monkeypatch):
    best = {"looks": 2, "rows_per_task": 20}
    folder = copied(*INPUTS, train={"joint": {"best": best}}, runtime={"checkpoint_every_steps": 3})
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    found = tried("train@joint")
    assert found["steps"] == 8
    assert set(found["seconds"]) == {"retrieval", "sts"}
    assert found["training_seconds"] > sum(4 * seconds for seconds in found["seconds"].values())  # looks and checkpoints too
    assert found["before_seconds"] > 0
    assert found["weights_mb"] < found["checkpoint_mb"] < 4 * found["weights_mb"]
    assert [path for path in sorted(folder.rglob("*")) if path not in before] == [folder / "data/runs"]
    assert list((folder / "data/runs").iterdir()) == []


def test_the_shares_of_rows_and_tokens_are_those_that_the_training_sees(copied, run, monkeypatch):
    folder = copied(*INPUTS)
    monkeypatch.chdir(folder)
    shares = tried("train@sts")["seen"]["sts"]
    assert run(folder, "train", "sts") == 0
    seen = json.loads((folder / "checkpoints/experts/sts/seen.json").read_text())["tasks"]["sts"]
    assert shares["rows"] == pytest.approx(seen["seen"] / seen["rows"])
    assert 0 < shares["tokens"] < 1
    assert abs(shares["tokens"] - shares["rows"]) < 0.1  # their texts are about as long as one another


def test_all_phases_of_pretraining_are_tried_before_there_is_a_base(copied, monkeypatch):
    folder = copied("data/curated", "data/config.yaml")
    monkeypatch.chdir(folder)
    found = tried("pretrain")
    assert found["steps"] == 3
    assert set(found["seen"]) == {"weak"}


def test_without_rows_a_message_says_what_makes_them(copied, run, capsys):
    folder = copied("data/config.yaml")
    assert run(folder, "plan", "try", "train@sts") == 1
    assert "data/curated is not there yet; `dvc repro curate` makes it" in capsys.readouterr().err


def test_the_rows_of_each_corpus_are_counted(finished, tmp_path):
    lines = rows_of(finished / "data/curated")
    assert len(lines) == 3
    assert lines[2] == "on questions: 10 test/retrieval rows, 80 train/retrieval rows, 10 validation/retrieval rows"
    assert rows_of(tmp_path) == [
        f"on rows that are not there yet: {tmp_path} is missing; `dvc repro curate` makes it, and a plan then says more"
    ]


def test_a_status_of_dvc_is_told_in_words():
    changed = {"data/config.yaml": {"train.sts.seed": "modified", "code.train.sts": "modified"}, "data/mined": "deleted"}
    assert told({"changed deps": changed}) == ["data/mined deleted", "its code changed", "train.sts.seed modified"]
    assert told({"changed outs": {"nowhere": "deleted"}}) == ["nowhere is not there"]
    assert told("changed command") == ["changed command"]


WAITING = [Due("train@sts", "train.sts.seed modified", ["nowhere"]), Due("final", "behind train@sts", ["nowhere"])]
TRIED = {
    "steps": 40, "training_seconds": 100.0, "before_seconds": 20.0, "peak_mb": 900.0, "gpu_mb": 0.0, "weights_mb": 10.0,
    "checkpoint_mb": 30.0, "seen": {"sts": {"rows": 0.5, "tokens": 0.25}},
}  # fmt: skip


def test_the_table_adds_up_what_was_tried_and_what_was_known():
    cost = {"seconds": 60.0, "peak_mb": 2000}
    lines = table([line_of(WAITING[0], None, TRIED), line_of(WAITING[1], cost, {})], ["curate"])
    assert lines[1].split("  ")[0] == "train@sts"
    assert "2.0" in lines[1]
    assert "40 steps, sts 50% of the rows, 25% of their tokens" in lines[1]
    assert "as last time" in lines[2]
    assert lines[3] == "2 of 3 stages: 3.0 minutes, 2.0 GB of memory, 100 MB of disk, and as much again for DVC's cache"


def test_what_is_not_known_is_said_and_why_a_training_could_not_be_tried():
    lines = table([line_of(WAITING[0], None, {"fault": "data/curated is not there yet"})], [])
    assert "data/curated is not there yet" in lines[1]
    assert lines[2].endswith("not known of train@sts")
    assert table([], ["curate"]) == ["nothing to run: 1 stages are as they were"]


def test_too_little_memory_or_disk_is_told():
    assert lacking(0, 0) == []
    assert ["memory" in line for line in lacking(1e12, 1e15)] == [True, False]


def test_the_brief_plan_names_the_first_stage_and_its_reason():
    lines = brief(WAITING, ["curate"], {"final": {"seconds": 90.0, "peak_mb": 1500}})
    assert lines[0] == "plan: 2 of 3 stages would run, first train@sts: train.sts.seed modified"
    assert lines[1].startswith("plan: 1 of them took 1.5 minutes and at most 1.5 GB of memory the last time")
    assert brief([], ["curate"], {}) == ["plan: nothing to run, 1 stages are as they were"]


def test_a_mistake_of_the_page_is_told_before_anything_starts(workspace, run, capsys):
    folder = workspace(set={"train.epochs": "many"})
    assert run(folder, "plan", "brief") == 1
    assert "error in plan: " in (told := capsys.readouterr().err)
    assert "train.retrieval.epochs: expected a number, got 'many'" in told


@pytest.fixture
def under_dvc(workspace):
    folder = workspace()
    subprocess.run(["dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
    return folder


def test_where_nothing_has_run_all_stages_would(under_dvc, run, capsys):
    assert run(under_dvc, "plan", "brief") == 0
    out = capsys.readouterr().out
    config = load(under_dvc / "data/config.yaml")
    num = len(("ingest", "curate", "pretrain", "mine", "final", "stress", "report"))
    num += sum(len(config[items]) for items in ("train", "merge", "baseline", "models"))
    assert f"plan: {num} of {num} stages would run, first ingest: " in out
    assert not (under_dvc / "data/raw").exists()


def test_without_dvc_a_message_says_what_to_do(workspace, run, capsys):
    assert run(workspace(), "plan", "brief") == 1
    assert "run `dvc init` once" in capsys.readouterr().err
