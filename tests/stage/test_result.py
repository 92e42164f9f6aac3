"""The last lines of `make repro`."""

from pipeline.checkpoint import read_json, write_json


def test_the_last_lines_say_before_and_after_with_what_it_took(finished, run, capsys, copied):
    chosen = read_json(finished / "checkpoints/final/chosen.json")
    folder = copied("data/config.yaml", "checkpoints/final")
    write_json(folder / "costs/train@sts.json", {"stage": "train@sts", "seconds": 60.0, "peak_mb": 1500})
    assert run(folder, "result") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[-1] == chosen["before"]["sentence"]
    of = {line.split(" (")[0]: line for line in lines[:-1]}
    scores = read_json(finished / "data/metrics/evaluate/backbone.json")["test"]["retrieval/questions"]
    assert f"{scores['value']:.4f}" in of["backbone"]
    assert of["backbone"].endswith("no training")
    assert of["bm25"].endswith("not recorded")
    assert of[chosen["model"]].endswith("1.0 minutes in all, 1.0 of them to make the models; at most 1.5 GB of memory")


def test_without_a_final_model_it_says_what_makes_one(run, tmp_path, capsys):
    assert run(tmp_path, "result") == 1
    assert "checkpoints/final/chosen.json is missing; run `dvc repro`" in capsys.readouterr().err


def test_the_makefile_ends_with_it(root):
    lines = (root / "Makefile").read_text(encoding="utf-8").splitlines()
    start = lines.index("repro: $(VENV)/.ready")
    rule = lines[start + 1 : lines.index("", start)]
    assert rule[-1].strip().startswith("@python -m pipeline result")
