"""Mistakes that people make on a page and on the command line: each message names the place, what was expected, what was found, and a step
that helps; none is a traceback, by whatever road."""

import os
import subprocess
import sys

import pytest
import yaml

from pipeline.__main__ import main

QUESTIONS = {"source": "table", "path": "data/source/questions.jsonl", "columns": {"query": "question", "document": "answer"}}
HUB = {"source": "hub", "repo": "owner/name", "revision": "0" * 40}


def corpus(**changes):
    return {"corpora": {"mine": QUESTIONS | changes}}


PAGE = {
    "corpora as a list": ({"corpora": ["mine"]}, "params.yaml: corpora: expected lines of `name: value`, got ['mine']"),
    "methods as a text": ({"methods": "soup"}, "params.yaml: methods: expected a list, as [a, b], got 'soup'"),
    "no choice": ({"choose": None}, "params.yaml: choose: expected lines of `name: value`, got None"),
    "a number for a path": (
        {"models": {"base": 3}},
        "params.yaml: models.base: expected a text, got 3",
    ),
    "a name with a blank and more": (
        {"models": {"a b;c": "checkpoints/base"}},
        "params.yaml: models: expected names of letters, digits and . _ + -",
        "got 'a b;c'; call them otherwise",
    ),
    "a corpus that would leave its folder": (
        {"corpora": {"../mine": QUESTIONS}},
        "params.yaml: corpora: expected names of up to 100 characters",
        "got '../mine'",
    ),
    "a corpus with the end of a text in its name": (
        {"corpora": {"a\0b": QUESTIONS}},
        "params.yaml: corpora: expected names of up to 100 characters",
        "control characters",
    ),
    "a corpus of letters of four bytes": ({"corpora": {"\U0001f9ed" * 70: QUESTIONS}}, "params.yaml: corpora: expected names of up to"),
    "an expert in place of all": (
        {"experts": {"retrieval": "checkpoints/experts/."}},
        "params.yaml: experts: expected a directory below checkpoints/experts",
    ),
    "an expert within another": (
        {"experts": {"retrieval": "checkpoints/experts/a", "sts": "checkpoints/experts/a/b"}},
        "params.yaml: experts: expected a directory for each, got 'checkpoints/experts/a/b' within 'checkpoints/experts/a'",
    ),
    "an expert where something else is": (
        {"experts": {"retrieval": "my_notes"}},
        "params.yaml: experts: expected a directory below checkpoints/experts",
        "got 'my_notes' for retrieval; write checkpoints/experts/retrieval",
    ),
    "two experts in one place": (
        {"experts": {"retrieval": "checkpoints/experts/a", "sts": "checkpoints/experts/a"}},
        "expected a directory for each, got 'checkpoints/experts/a' for several",
    ),
    "behaviours as a text": ({"behaviours": "typo"}, "params.yaml: behaviours: expected a list, as [a, b], got 'typo'"),
    "columns as a text": (
        corpus(columns="question"),
        "corpora.mine.source.columns: expected Mapping",
        "got 'question'; write lines of `name: value`",
    ),
    "a delimiter of two characters": (corpus(delimiter=";;"), "corpora.mine: ", "delimiter must be one character", "got ';;'"),
    "an encoding that there is not": (
        corpus(encoding="utf-9"),
        "corpora.mine: ",
        "encoding must be one that Python knows, got 'utf-9'; for example utf-8",
    ),
    "a list for a path": (corpus(path=["a", "b"]), "corpora.mine.source.path: expected str, got ['a', 'b']; write a text"),
    "a split of another name": (corpus(split="dev"), "corpora.mine: ", "one of train, validation, test, got 'dev'"),
    "a branch of the hub": (
        {"corpora": {"mine": HUB | {"revision": "main"}}},
        "corpora.mine: ",
        "a full commit of 40 hexadecimal digits, got 'main'; copy it from https://huggingface.co/datasets/owner/name/commits/main",
    ),
    "a branch of a model": (
        {
            "choose": {"experiment": "tiny", "encoder": "hub"},
            "set": {"encoder.backbone": {"name": "a/b", "revision": "main"}},
        },
        "encoder.backbone.revision: expected a commit of 40 hex digits, as branches move, got 'main'; copy it from",
    ),
    "a folder of a model that is not there": (
        {"choose": {"experiment": "tiny", "encoder": "hub"}, "set": {"encoder.backbone": {"name": "no/such", "revision": None}}},
        "encoder.backbone.name: no/such is no folder here; a model of the Hub needs `revision: <40 hex digits>`",
    ),
    "shares of more than all": (
        {"set": {"curate.split.test": 0.7, "curate.split.validation": 0.7}},
        "curate.split: ",
        "shares with a sum below 1, got 0.7 and 0.7",
    ),
    "a share below nothing": ({"set": {"curate.split.test": -0.1}}, "curate.split: ", "got 0.1 and -0.1; write 0.10 for 10 percent"),
    "a similarity above 1": ({"set": {"near.threshold": 30}}, "threshold must be in (0, 1], got 30; write 0.30 for 30 percent"),
    "a negative rate": (
        {"set": {"train.optimizer.lr": -1}},
        "train.retrieval.optimizer.lr: expected a finite number above 0, got -1",
        "conf/encoder says which rates fit",
    ),
    "a rate that is no number": ({"set": {"train.optimizer.lr": float("nan")}}, "optimizer.lr: expected a finite number above 0, got nan"),
    "a batch of nothing": (
        {"set": {"train.retrieval.tasks.retrieval.batch_size": 0}},
        "train.retrieval.tasks.retrieval.batch_size: expected more than 1, got 0; write it under `set` in params.yaml",
    ),
    "a list for a number": ({"set": {"train.epochs": [1, 2]}}, "epochs: expected a number, got [1, 2]; write it under `set`"),
    "a seed of five billion": ({"set": {"seed": 5_000_000_000}}, "seed: expected less than 4294967296, got 5000000000"),
    "layers below nothing": ({"set": {"encoder.backbone.layers": -1}}, "encoder.backbone.layers: ", "got -1; write more than 0"),
    "a dropout of 2": ({"set": {"encoder.backbone.dropout": 2.0}}, "encoder.backbone.dropout: ", "got 2.0; write less than 1"),
    "steps without end": ({"set": {"train.steps_per_task": 10**30}}, "steps_per_task: expected less than 2147483648, got 1000000"),
    "draws without end": ({"set": {"evaluate.resamples": 10**12}}, "evaluate.resamples: expected 1000000 or less, got 1000000000000"),
    "a width below nothing": ({"set": {"encoder.backbone.width": -32}}, "encoder.backbone.width: ", "got -32"),
    "no heads": ({"set": {"encoder.backbone.heads": 0}}, "encoder.backbone.heads: ", "got 0"),
    "no words": ({"set": {"encoder.backbone.vocabulary": 0}}, "encoder.backbone.vocabulary: ", "got 0"),
    "a width of a billion": ({"set": {"encoder.backbone.width": 10**9}}, "encoder.backbone.width: ", "got 1000000000"),
    "a search that is not deep enough": (
        {"set": {"evaluate.evaluators.retrieval.depth": 3}},
        "evaluate.evaluators.retrieval.depth: ",
        "got 3; write 100 or more",
    ),
    "a strategy that there is not": ({"set": {"runtime.strategy": "dpp"}}, "runtime.strategy: expected one of 'auto', 'ddp'", "got 'dpp'"),
    "an open bracket": ({"set": {"seed": "${nothing"}}, "params.yaml: ", "(at set.seed)", "close it, or quote a plain text"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", PAGE)
def test_a_mistake_on_the_page_is_told_by_compose(workspace, run, capsys, mistake):
    changes, *words = PAGE[mistake]
    assert run(workspace(**changes), "compose") == 1
    error = capsys.readouterr().err
    assert error.startswith("\nerror in compose: ")
    assert [word for word in words if word not in error] == []
    assert "Traceback" not in error
    assert "Input should" not in error


FILES = {
    "latin-1": (
        "choose: {experiment: own}  # Größe\n".encode("latin-1"),
        "params.yaml is not in UTF-8 (byte 31); save it as UTF-8",
    ),
    "utf-16": ("choose: {experiment: own}\n".encode("utf-16"), "params.yaml is not in UTF-8 (byte 0); save it as UTF-8"),
    "tabs": (b"choose:\n\texperiment: own\n", "params.yaml is not valid YAML", "line 2, column 1"),
    "twice": (b"set: {}\nset: {}\n", "params.yaml is not valid YAML", "found duplicate key set"),
    "empty": (b"", "params.yaml: choose is missing", "params.yaml: set is missing"),
    "a list": (b"- choose\n", "params.yaml: the whole file: expected lines of `name: value`, got ['choose']"),
    "lists a thousand deep": (b"set: " + b"[" * 1000 + b"]" * 1000, "params.yaml: expected lists at most 64 deep"),
    "aliases that stand for a billion values": (
        b"a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b", ".join([b"*%c" % c] * 10)) for c in b"abcdefgh"),
        "params.yaml: expected at most 1,000,000 values, found 1,234,567,9",
        "by aliases",
    ),
    "ten million bytes": (
        b"set: {a: '" + b"x" * 10_000_000 + b"'}",
        "params.yaml: expected at most 1,048,576 bytes, found 10,000,0",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_page_that_is_no_page_is_told(workspace, run, capsys, kind):
    raw, *words = FILES[kind]
    folder = workspace()
    (folder / "params.yaml").write_bytes(raw)
    assert run(folder, "compose") == 1
    error = capsys.readouterr().err
    assert [word for word in words if word not in error] == []


DATA = {
    "a file that is not there": ({"path": "data/source/question.jsonl"}, "expected data at ", "did you mean 'questions.jsonl'?"),
    "a root that is not there": ({"root": "/no/such/folder"}, "found nothing there (/ exists, 'no' is not in it)"),
    "a column that is not there": (
        {"columns": {"query": "question", "document": "reply"}},
        "data/source/questions.jsonl:1: no 'reply' in this record, found 'question', 'answer'",
        "All 102 stand in data/rejected/mine.jsonl: 101 no 'reply' in this record",
    ),
    "an encoding that it is not in": ({"encoding": "utf-16"}, "questions.jsonl is not in utf-16", "name its encoding"),
    "documents that are not there": (
        {"columns": {"query": "question", "document_id": "answer"}, "documents": {"path": "no.csv", "id": "a", "text": "b"}},
        "expected data at ",
        "no.csv",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", DATA)
def test_a_mistake_about_the_data_is_told_by_ingest(workspace, run, capsys, mistake):
    changes, *words = DATA[mistake]
    folder = workspace(**corpus(**changes))
    assert run(folder, "compose") == 0
    assert run(folder, "ingest") == 1
    error = capsys.readouterr().err
    assert [word for word in words if word not in error] == []


COMMANDS = {
    "an expert": (["train", "expert=retreival"], "expert=retreival: no conf/expert/retreival.yaml (did you mean 'retrieval'?)"),
    "one of a sweep": (["train", "--multirun", "expert=sts,rettrieval"], "no conf/expert/rettrieval.yaml (did you mean 'retrieval'?)"),
    "a key": (["train", "expert=sts", "train.optimizer.rl=1"], "train.optimizer.rl=: no key 'rl'", "did you mean 'lr'?"),
    "a section": (["curate", "curat.split.test=0.1"], "curat.split.test=: no key 'curat' (did you mean 'curate'?)"),
    "a choice at a place": (
        ["train", "expert=sts", "objective@train.tasks.sts.objective=angel"],
        "no conf/objective/angel.yaml (did you mean 'angle'?)",
    ),
    "what is no override": (["train", "expert=sts", "train.optimizer.lr=[1"], "expected key=value, and quotes around"),
    "a type": (["curate", "curate.split.test=much"], "curate.split.test: expected float, got 'much'; write a number"),
    "a value": (["curate", "curate.split.test=-1"], "shares with a sum below 1, got 0.1 and -1"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_mistake_on_hydra_s_command_line_is_a_message_too(finished, root, tmp_path, mistake):
    words, *expected = COMMANDS[mistake]
    places = [f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep"]  # nothing is left in the finished workspace
    command = [sys.executable, "-m", "pipeline", *words, *places]
    done = subprocess.run(
        command, cwd=finished, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"error in {words[0]}: " in done.stderr
    assert [word for word in expected if word not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert "Primary config" not in done.stderr


def test_a_merge_by_hand_names_the_key_that_there_is_not(finished, run, capsys):
    words = ["--base", "checkpoints/base", "--expert", "checkpoints/experts/sts", "merging=ties", "out=merged"]
    assert run(finished, "merge", *words, "merge.method.densty=0.5") == 1
    assert "merge.method.densty=: no key 'densty' (did you mean 'density'?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "data/raw"), "data/raw: No space left on device; free some space"),
        (OSError(30, "Read-only file system", "data"), "data: Read-only file system; run in a folder that may be written to"),
        (PermissionError(13, "Permission denied", "x.csv"), "x.csv: Permission denied; change its rights"),
        (OSError("Couldn't deserialize thrift"), "Couldn't deserialize thrift"),
    ],
)
def test_an_error_of_the_system_is_a_message_with_the_file(workspace, monkeypatch, capsys, error, words):
    def fails(_):
        raise error

    monkeypatch.setattr("pipeline.stage.compose.run", fails)
    monkeypatch.chdir(workspace())
    assert main(["compose"]) == 1
    assert f"error in compose: {words}" in capsys.readouterr().err


def test_a_page_without_derivations_is_one_for_dvc_too(workspace, root):
    folder = workspace()
    page = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    del page["derivations"]
    (folder / "params.yaml").write_text(yaml.safe_dump(page), encoding="utf-8")
    (folder / ".dvc").mkdir(exist_ok=True)
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    program = "import sys; from dvc.cli import main; sys.exit(main(['stage', 'list', '--name-only']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"compose", "train@sts", "report"} <= set(done.stdout.split())


def test_a_stage_that_runs_twice_at_once_is_told_by_whom(workspace, run, monkeypatch, capsys):
    folder, states = workspace(), []
    assert run(folder, "compose") == 0
    monkeypatch.setattr("pipeline.stage.mine.run", lambda *_: states.append(main(["mine"])) or {})
    assert run(folder, "mine") == 0
    assert states == [1]
    assert f"error in mine: mine is being made by process {os.getpid()} on " in capsys.readouterr().err
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
