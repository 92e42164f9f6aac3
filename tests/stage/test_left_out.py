"""The page that ships, with rows of one task only: what has no rows is left out, and each stage of the page still runs."""

import pytest
import yaml

from pipeline.checkpoint import read_json

LABELS = {
    "source": "table",
    "path": "data/source/labels.csv",
    "columns": {"query": "label", "document": "text"},
    "task": "weak",
}
QUESTIONS = {"source": "table", "path": "data/source/questions.jsonl", "columns": {"query": "question", "document": "answer"}}


@pytest.fixture
def retrieval_alone(workspace):
    return workspace(corpora={"questions": QUESTIONS, "labels": LABELS})


def test_compose_leaves_out_what_has_no_rows_and_says_so_in_one_line(retrieval_alone, run, capsys):
    assert run(retrieval_alone, "compose") == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "no corpus has rows of task sts, so these are left out: experts sts, joint; merges soup, slerp; models soup, slerp, sts, joint"
    )
    config = yaml.safe_load((retrieval_alone / "data/config.yaml").read_text())
    assert list(config["experts"]) == ["retrieval"]
    assert sorted(config["models"]) == ["backbone", "base", "retrieval"]
    assert sorted(config["train"]) == ["joint", "retrieval", "sts"]  # DVC asks for the sections of its lists


def test_an_item_that_is_left_out_writes_a_note_and_nothing_else(retrieval_alone, run):
    for words in (("compose",), ("train", "sts"), ("merge", "soup"), ("evaluate", "joint")):
        assert run(retrieval_alone, *words) == 0, words
    for folder in ("checkpoints/experts/sts", "checkpoints/merged/soup", "data/mteb/joint"):
        assert sorted(file.name for file in (retrieval_alone / folder).iterdir()) == ["SHA256SUMS", "left_out.json"]
    assert (retrieval_alone / "data/metrics/train/sts.csv").is_file()
    for kind in ("evaluated", "metrics/evaluate", "metrics/geometry"):
        assert read_json(retrieval_alone / f"data/{kind}/joint.json") == {"validation": {}, "test": {}}


def test_what_is_derived_of_a_model_that_is_left_out_is_left_out_too(workspace, run, capsys):
    derivations = {
        "cut": {"derivation": "shallow", "of": "checkpoints/derived/white", "layers": 1},
        "white": {"derivation": "whiten", "of": "checkpoints/merged/soup"},
        "kept": {"derivation": "whiten", "of": "checkpoints/base"},
    }
    models = {name: f"checkpoints/derived/{name}" for name in derivations} | {"base": "checkpoints/base"}
    folder = workspace(corpora={"questions": QUESTIONS, "labels": LABELS}, derivations=derivations, models=models)
    assert run(folder, "compose") == 0
    assert "; derivations white, cut; models cut, white" in capsys.readouterr().out.splitlines()[0]
    assert run(folder, "derive", "cut") == 0
    assert sorted(file.name for file in (folder / "checkpoints/derived/cut").iterdir()) == ["SHA256SUMS", "left_out.json"]
    config = yaml.safe_load((folder / "data/config.yaml").read_text())
    assert sorted(config["models"]) == ["base", "kept"]
    assert config["code"]["derive"]["cut"] == config["code"]["merge"]["soup"] != config["code"]["derive"]["kept"]


def test_where_no_expert_has_rows_it_is_an_error_with_the_nearest_task(workspace, run, capsys):
    folder = workspace(corpora={"questions": QUESTIONS | {"task": "retrievals", "kind": "retrieval"}, "labels": LABELS})
    assert run(folder, "compose") == 1
    assert "train.retrieval: no corpus has rows of task 'retrieval' (did you mean 'retrievals'?)" in capsys.readouterr().err


def test_rows_of_other_tasks_alone_are_read_and_curated_and_pretrain_stops(workspace, run, capsys):
    folder = workspace(corpora={"labels": LABELS})
    for stage in ("compose", "ingest"):
        assert run(folder, stage) == 0
    told = capsys.readouterr().out
    assert "no corpus has rows of task retrieval and sts" in told
    assert "Nothing is left to train, so pretrain will stop" in told
    assert run(folder, "pretrain") == 1
    assert "nothing would be trained: no corpus has rows for joint, retrieval, sts" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_page_runs_with_rows_of_one_task(retrieval_alone, run):
    stages = [("compose",), ("ingest",), ("curate",), ("pretrain",), ("mine",)]
    stages += [("train", name) for name in ("retrieval", "sts", "joint")] + [("merge", name) for name in ("soup", "slerp")]
    stages += [("baseline", name) for name in ("bm25", "static")]
    stages += [("evaluate", name) for name in ("soup", "slerp", "backbone", "base", "retrieval", "sts", "joint")]
    for words in [*stages, ("final",), ("stress",), ("report",)]:
        assert run(retrieval_alone, *words) == 0, words
    assert read_json(retrieval_alone / "checkpoints/final/chosen.json")["model"] in ("base", "retrieval")
