"""`dvc repro` reruns what an edit concerns: all of it, and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.stage.due import due

# The real dvc.yaml over a stand-in for the stages

PAGE = {
    "choose": {"experiment": "apidocs", "encoder": "minilm"},
    "corpora": {},
    "experts": {
        "retrieval": "checkpoints/experts/retrieval",
        "sts": "checkpoints/experts/sts",
        "joint": "checkpoints/controls/joint",
    },
    "methods": ["slerp"],
    "derivations": {},
    "baselines": ["bm25", "static"],
    "models": {"slerp": "checkpoints/merged/slerp", "joint": "checkpoints/controls/joint"},
    "set": {},
}
MERGE = {"merge@slerp", "evaluate@slerp"}
EVALUATE = {"evaluate@slerp", "evaluate@joint"}
LAST = {"final", "stress", "report"}
AFTER_BASE = {"mine", "train@retrieval", "train@sts", "train@joint", "merge@slerp"} | LAST | EVALUATE
BASELINES = {"baseline@bm25", "baseline@static"}
AFTER_CURATED = {"pretrain"} | BASELINES | AFTER_BASE


class Workspace:
    """A copy of the repository in which every stage but compose is stood in for."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.programs = programs
        self.page = dict(PAGE)

    def repro(self) -> list[str]:
        """Names of the stages whose command ran, in that order."""
        return re.findall(r"^Running stage '(.+)':$", self.run("dvc", "repro"), flags=re.MULTILINE)

    def run(self, *command: str) -> str:
        path = os.pathsep.join([str(self.programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write_page(self, **changes) -> None:
        self.page = self.page | changes
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.page, sort_keys=False), encoding="utf-8")

    def create(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir()
        (self.folder / path).write_text(text, encoding="utf-8")

    def append(self, path: str, text: str) -> None:
        with (self.folder / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def replace(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} holds no {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def workspace(root, tmp_path_factory):
    """Reproduced once; the tests below edit it one after the other."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in ("conf", "pipeline"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "dvc.yaml",
        "constraints.txt",
        ".dvcignore",
        ".gitignore",
        "data/source/README.md",
        "checkpoints/README.md",
        "checkpoints/derived/.gitkeep",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)
    programs = tmp_path_factory.mktemp("programs")
    (programs / "python").write_text(f"#!{sys.executable} -I\n" + (root / "tests/stand_in.py").read_text(encoding="utf-8"))
    (programs / "python").chmod(0o755)
    made = Workspace(folder, programs)
    made.run("git", "init", "-q")
    made.run("dvc", "init", "-q")
    shutil.copy(root / ".dvc/config", folder / ".dvc/config")
    made.write_page()
    made.append("data/source/pairs.jsonl", '{"query": "a", "document": "b"}\n')
    made.first_run = made.repro()
    return made


def test_a_first_run_runs_every_stage_and_the_first_model_before_the_rest(workspace, stand_in):
    ran = workspace.first_run
    assert sorted(ran) == sorted(stand_in.nodes(workspace.folder))
    assert ran.index("evaluate@slerp") < min(ran.index(name) for name in ("train@joint", "evaluate@joint", "baseline@bm25"))


def add_method(w):
    shutil.copy(w.folder / "conf/merging/soup.yaml", w.folder / "conf/merging/mean.yaml")
    w.write_page(methods=[*w.page["methods"], "mean"], models=w.page["models"] | {"mean": "checkpoints/merged/mean"})


def without(tree, name):
    return {key: value for key, value in tree.items() if key != name}


# What is edited, how, and the stages that must run. Each starts from what the one before it left.
EDITS = {
    "nothing": (lambda w: None, set()),
    "code that Python compiled": (lambda w: w.create("pipeline/merging/__pycache__/slerp.cpython-311.pyc", "bytes"), set()),
    "what concerns no result": (
        lambda w: (
            w.append("params.yaml", "# a thought\n"),
            w.replace("conf/runtime.yaml", "batch_tokens: 8192", "batch_tokens: 4096"),
            w.append("constraints.txt", "# a thought\n"),
            w.replace("conf/encoder/hub.yaml", "steps: 30", "steps: 40"),  # not chosen
        ),
        {"compose"},
    ),
    "a value of one expert": (
        lambda w: w.write_page(set={"train.sts.steps_per_task": 7}),
        {"compose", "train@sts"} | LAST | MERGE,
    ),
    "the template of the page": (
        lambda w: w.append("pipeline/report/templates/report.md", "\nMore.\n"),
        {"compose", "report"},
    ),
    "a comment in the code of curate": (lambda w: w.append("pipeline/stage/curate.py", "# a thought\n"), {"compose"}),
    "a docstring": (lambda w: w.replace("pipeline/stage/mine.py", '"""mine: ', '"""mine, as ever: '), {"compose"}),
    "the code of an objective": (
        lambda w: w.append("pipeline/objective/cosent.py", "MORE = 1\n"),
        {"compose", "train@sts", "train@joint", "evaluate@joint"} | LAST | MERGE,
    ),
    "the code of an architecture for proteins": (
        lambda w: w.append("pipeline/protein/architecture/pad.py", "MORE = 1\n"),
        {"compose"},
    ),
    "the cost page": (lambda w: w.append("pipeline/report/costs.html", "<p>More.</p>"), {"compose"}),
    "the code of the cost page": (lambda w: w.append("pipeline/report/costs.py", "MORE = 1\n"), {"compose"}),
    "the code of a part of the page": (
        lambda w: w.append("pipeline/report/parts/geometry.py", "MORE = 1\n"),
        {"compose", "report"},
    ),
    "one more derivation": (
        lambda w: w.write_page(
            derivations={"white": {"derivation": "whiten", "of": "checkpoints/merged/slerp"}},
            models=w.page["models"] | {"white": "checkpoints/derived/white"},
        ),
        {"compose", "derive@white", "evaluate@white"} | LAST,
    ),
    "the code of a derivation": (
        lambda w: w.append("pipeline/derivation/whiten.py", "MORE = 1\n"),
        {"compose", "derive@white", "evaluate@white"} | LAST,
    ),
    "the code of another derivation": (lambda w: w.append("pipeline/derivation/shallow.py", "MORE = 1\n"), {"compose"}),
    "a value of a derivation": (
        lambda w: w.write_page(derivations={"white": w.page["derivations"]["white"] | {"dims": 8}}),
        {"compose", "derive@white", "evaluate@white"} | LAST,
    ),
    "that derivation taken out again": (
        lambda w: w.write_page(derivations={}, models=without(w.page["models"], "white")),
        {"compose"} | LAST,
    ),
    "a version in constraints.txt": (lambda w: w.replace("constraints.txt", "\nnumpy==", "\nnumpy==9."), {"compose"}),
}
MORE_EDITS = {
    "one more merge method": (add_method, {"compose", "merge@mean", "evaluate@mean"} | LAST),
    "that method taken out again": (
        lambda w: w.write_page(methods=["slerp"], models=without(w.page["models"], "mean")),
        {"compose"} | LAST,
    ),
    "the YAML of one expert": (
        lambda w: w.append("conf/expert/joint.yaml", "warmup: 0.2\n"),
        {"compose", "train@joint", "evaluate@joint"} | LAST,
    ),
    "a value of an objective": (
        lambda w: w.replace("conf/objective/cosent.yaml", "scale: 20.0", "scale: 21.0"),
        {"compose", "train@sts", "train@joint", "evaluate@joint"} | LAST | MERGE,
    ),
    "another encoder": (
        lambda w: w.write_page(choose=w.page["choose"] | {"encoder": "scratch"}),
        {"compose", "pretrain"} | BASELINES | AFTER_BASE,
    ),
    "a row of the data": (
        lambda w: w.append("data/source/pairs.jsonl", '{"query": "c", "document": "d"}\n'),
        {"ingest", "curate"} | AFTER_CURATED,
    ),
    "the seed": (lambda w: w.write_page(set=w.page["set"] | {"seed": 1}), {"compose", "curate"} | AFTER_CURATED),
    "a value of the evaluation": (
        lambda w: w.write_page(set=w.page["set"] | {"evaluate.resamples": 500}),
        {"compose"} | LAST | BASELINES | EVALUATE,
    ),
    "the code of the encoder": (
        lambda w: w.append("pipeline/encoder/encoder.py", "MORE = 1\n"),
        {"compose", "pretrain"} | BASELINES | AFTER_BASE,
    ),
    "the code of poolings, where the encoder's own is taken": (
        lambda w: w.append("pipeline/pooling/standard.py", "MORE = 1\n"),
        {"compose"},
    ),
    "the code of mine": (lambda w: w.append("pipeline/stage/mine.py", "MORE = 1\n"), {"compose"} | AFTER_BASE),
    "the code of a merge method": (lambda w: w.append("pipeline/merging/slerp.py", "MORE = 1\n"), {"compose"} | LAST | MERGE),
    "a value of one baseline": (
        lambda w: w.write_page(set=w.page["set"] | {"baseline.bm25.b": 0.5}),
        {"compose", "baseline@bm25"} | LAST,
    ),
    "the code of an evaluator": (
        lambda w: w.append("pipeline/evaluator/retrieval.py", "MORE = 1\n"),
        {"compose"} | LAST | BASELINES | EVALUATE,
    ),
    "one expert fewer": (
        lambda w: w.write_page(
            experts=without(w.page["experts"], "sts"), set=without(w.page["set"], "train.sts.steps_per_task")
        ),
        {"compose"} | LAST | MERGE,
    ),
}


@pytest.mark.parametrize("edit", [*EDITS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_EDITS)])
def test_an_edit_reruns_what_it_concerns_and_nothing_else(workspace, edit):
    change, expected = (EDITS | MORE_EDITS)[edit]
    change(workspace)
    assert set(workspace.repro()) == expected


def test_a_plan_names_what_then_runs_and_why(workspace, monkeypatch):
    workspace.write_page(methods=["slerp"], set=workspace.page["set"] | {"train.joint.steps_per_task": 9})
    workspace.run(sys.executable, "-m", "pipeline", "compose")
    monkeypatch.chdir(workspace.folder)
    waiting, others = due()
    assert {one.name for one in waiting} == set(workspace.repro()) - {"compose"}
    why = {one.name: one.why for one in waiting}
    assert why["train@joint"] == "train.joint modified"
    assert why["evaluate@joint"] == "behind train@joint"
    assert {"curate", "pretrain", "mine"} <= set(others)
    assert due()[0] == []


@pytest.mark.slow
def test_an_edit_taken_back_runs_no_stage_again(workspace):
    """Its outputs come out of DVC's run cache, and they are the old ones."""
    values = workspace.page["set"]
    before = (workspace.folder / "data/report/content").read_text()
    workspace.write_page(set=values | {"curate.contamination": "off"})
    assert set(workspace.repro()) >= {"compose", "curate", "report"}
    assert (workspace.folder / "data/report/content").read_text() != before
    workspace.write_page(set=values)
    assert set(workspace.repro()) <= {"compose"}
    assert (workspace.folder / "data/report/content").read_text() == before


@pytest.mark.slow
def test_the_code_of_an_architecture_reruns_the_experts_that_use_it_and_what_follows(workspace):
    workspace.page = yaml.safe_load((workspace.folder / "conf/page/ppb_affinity.yaml").read_text(encoding="utf-8"))
    workspace.write_page()
    workspace.repro()
    workspace.append("pipeline/protein/architecture/pad.py", "EVEN_MORE = 1\n")
    assert set(workspace.repro()) == {"compose", "train@pad", "train@pad_random", "evaluate@pad", "evaluate@pad_random"} | LAST
