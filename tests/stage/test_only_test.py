"""A page that has test rows alone and trains nothing: it measures the model as it came."""

import yaml

from pipeline.checkpoint import read_json

LINE = {
    "source": "table",
    "path": "data/source/questions.jsonl",
    "columns": {"query": "question", "document": "answer"},
    "split": "test",
}


def test_test_rows_alone_are_enough_where_nothing_is_trained(workspace, run, capsys):
    folder = workspace(
        choose={"experiment": "own", "encoder": "minilm"},
        corpora={"questions": LINE},
        experts={},
        methods=[],
        baselines=["bm25"],
        models={"backbone": "checkpoints/backbone"},
    )
    page = yaml.safe_load((folder / "params.yaml").read_text())
    page["set"] = {key: page["set"][key] for key in ("near.threshold", "evaluate.resamples", "final", "runtime")}
    (folder / "params.yaml").write_text(yaml.safe_dump(page))
    for words in ("compose", "ingest", "curate", "pretrain", "baseline bm25", "evaluate backbone", "final"):
        assert run(folder, *words.split()) == 0, words
    told = capsys.readouterr().out
    assert "backbone, the model off the shelf, is final: the page makes no other." in told
    chosen = read_json(folder / "checkpoints/final/chosen.json")
    assert chosen["model"] == "backbone"
    assert chosen["test"]["retrieval/questions"]["value"] > 0


def test_test_rows_alone_are_too_few_where_an_expert_learns(workspace, run, capsys):
    experts = {"retrieval": "checkpoints/experts/retrieval"}
    folder = workspace(
        choose={"experiment": "own", "encoder": "scratch"},
        corpora={"questions": LINE},
        experts=experts,
        methods=[],
        models=experts,
    )
    page = yaml.safe_load((folder / "params.yaml").read_text())
    page["set"] = {key: page["set"][key] for key in ("near.threshold", "encoder", "runtime")}
    (folder / "params.yaml").write_text(yaml.safe_dump(page))
    assert [run(folder, name) for name in ("compose", "ingest", "curate")] == [0, 0, 1]
    assert "curation left no train row" in capsys.readouterr().err
