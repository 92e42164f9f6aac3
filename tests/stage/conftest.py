"""A workspace of three tiny corpora, and all stages run in it once."""

import itertools
import json
import random
import shutil
from operator import eq
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.__main__ import main

PLACES = ("kitchen", "garden", "cellar", "attic")
THINGS = ("lamp", "table", "window", "carpet", "kettle")
DEEDS = {
    "clean": "wipe it with a damp cloth",
    "repair": "replace the broken part",
    "sell": "ask a fair price for it",
    "move": "lift it with two people",
    "paint": "sand it before the first coat",
}
TRIPLES = [(deed, thing, place) for deed, thing, place in itertools.product(DEEDS, THINGS, PLACES)]  # 100
REPEATED, BROKEN = 7, 42  # lines of questions.jsonl, from 1: a pair that stands there twice, and one that cannot be read
GIVEN_AWAY = 10  # row of graded/stsb.train.tsv that shows a text of a test row

PAGE = {
    "choose": {"experiment": "tiny", "encoder": "scratch"},
    "corpora": {
        "questions": {
            "source": "table",
            "path": "data/source/questions.jsonl",
            "columns": {"query": "question", "document": "answer"},
        },
        "labels": {
            "source": "table",
            "path": "data/source/labels.csv",
            "columns": {"query": "label", "document": "text"},
            "task": "weak",
        },
        "graded": {"source": "sts", "path": "data/source/graded"},
    },
    "experts": {
        "retrieval": "checkpoints/experts/retrieval",
        "sts": "checkpoints/experts/sts",
        "joint": "checkpoints/controls/joint",
    },
    "methods": ["soup", "slerp"],
    "derivations": {},
    "baselines": ["bm25", "static"],
    "models": {
        "soup": "checkpoints/merged/soup",
        "slerp": "checkpoints/merged/slerp",
        "backbone": "checkpoints/backbone",
        "base": "checkpoints/base",
        "retrieval": "checkpoints/experts/retrieval",
        "sts": "checkpoints/experts/sts",
        "joint": "checkpoints/controls/joint",
    },
    "set": {
        "near.threshold": 1.0,  # sentences made from a pattern are all near each other
        "encoder": {"backbone": {"vocabulary": 200, "width": 16, "layers": 1, "intermediate": 32}, "max_length_tokens": 32},
        "pretrain.phases.weak": {"steps_per_task": 3, "tasks.weak.batch_size": 8},
        "mine.max_queries": None,
        "mine.miner": {"num_negatives": 3, "depth": 30, "max_ratio": 1.0},  # random weights find all texts alike
        "train": {
            "steps_per_task": 4,
            "optimizer.lr": 5.0e-4,
            "retrieval.tasks.retrieval.batch_size": 8,
            "sts.tasks.sts.batch_size": 8,
            "joint.tasks": {"retrieval.batch_size": 8, "sts.batch_size": 8},
        },
        "evaluate.resamples": 50,
        "merge.slerp.method.norm": 1.0,
        # tests/form makes these; sentences made from a pattern leave much open, and a model of the catalogue is no test's
        "final": {"resamples": 50, "forms": {"onnx": None, "int8": None}, "paraphrases": None},
        "report": {"examples": 3},
        "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled", "mirror": None},
    },
}


SECRETS = {"WANDB_API_KEY": ("5ec4e7" * 7)[:40], "HF_TOKEN": "hf_of_a_secret_value", "MY_PASSWORD": "another secret value"}


def questions() -> list[str]:
    """Lines of a JSONL file. A hundred pairs, one of them twice, one broken."""
    pairs = [
        {"question": f"How do I {d} the {t} in the {p}?", "answer": f"To {d} the {t} of the {p}, {DEEDS[d]}."}
        for d, t, p in TRIPLES
    ]
    random.Random(0).shuffle(pairs)
    lines = [json.dumps(pair) for pair in pairs]
    lines.insert(REPEATED - 1, lines[50])
    lines.insert(BROKEN - 1, '{"question": "How do I')
    return lines


def write_corpora(folder: Path) -> None:
    (folder / "graded").mkdir(parents=True)
    (folder / "questions.jsonl").write_text("\n".join(questions()) + "\n", encoding="utf-8")
    labels = [f"{d} {t} {p},A note on how to {d} a {t} and where: the {p}." for d, t, p in TRIPLES[::2]]
    (folder / "labels.csv").write_text("label,text\n" + "\n".join(labels) + "\n", encoding="utf-8")
    draw = random.Random(1)
    pairs = [(draw.choice(TRIPLES), draw.choice(TRIPLES)) for _ in range(90)]
    lines = [
        f"{i}\tOn day {i} they {a[0]} the {a[1]} {a[2]}.\tOn day {i} we {b[0]} the {b[1]} {b[2]}.\t{sum(map(eq, a, b))}.0"
        for i, (a, b) in enumerate(pairs)
    ]
    lines[GIVEN_AWAY] = lines[-1].replace("they", "we", 1)  # its second sentence is one of the test split's
    for name, part in (("train", lines[:50]), ("dev", lines[50:70]), ("test", lines[70:])):
        (folder / f"graded/stsb.{name}.tsv").write_text(
            "id\tsentence1\tsentence2\tscore\n" + "\n".join(part) + "\n", encoding="utf-8"
        )


def make_workspace(folder: Path, root: Path, page: dict) -> Path:
    shutil.copytree(root / "conf", folder / "conf")
    (folder / "conf/experiment/tiny.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /phase@pretrain.phases.weak: weak\n  - _self_\ncorpora: []\n", encoding="utf-8"
    )
    shutil.copy(root / "constraints.txt", folder)
    shutil.copy(root / "dvc.yaml", folder)
    (folder / "checkpoints/derived").mkdir(
        parents=True
    )  # in git: what comes later lists it, whether anything is derived or not
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    write_corpora(folder / "data/source")
    return folder


def run_in(folder: Path, *words: str) -> int:
    """``python -m pipeline`` in this process; its exit status. What a stage sets for the whole process is set back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "TOKENIZERS_PARALLELISM"):
            patch.setenv(name, "0")
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        try:
            return main(list(words))
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="session")
def make(root):
    """Makes an untouched workspace in a folder: ``make(folder, **changes of the page)``."""
    return lambda folder, **changes: make_workspace(folder, root, PAGE | changes)


@pytest.fixture
def workspace(make, tmp_path):
    """Makes the one untouched workspace of a test."""
    return lambda **changes: make(tmp_path / "workspace", **changes)


@pytest.fixture(scope="session")
def run():
    return run_in


@pytest.fixture(scope="session")
def finished(root, stand_in, tmp_path_factory):
    """A workspace in which every stage has run, in the order of dvc.yaml's graph."""
    folder = make_workspace(tmp_path_factory.mktemp("first") / "workspace", root, PAGE)
    for node in in_order(stand_in.nodes(folder)):
        assert run_in(folder, *node.command.split()[3:]) == 0, node.name
    return folder


def in_order(nodes: dict) -> list:
    """Each node behind those whose outputs it reads."""
    waiting, done = list(nodes.values()), []
    while waiting:
        made = {out for node in waiting for out in (*node.outs, *(["data/config.yaml"] if node.name == "compose" else []))}
        ready = [node for node in waiting if not any(reads(node, out) for out in made - set(node.outs))]
        assert ready, "dvc.yaml: the stages wait for one another"
        done += ready
        waiting = [node for node in waiting if node not in ready]
    return done


def reads(node, out: str) -> bool:
    if out == "data/config.yaml":
        return bool(node.sections)
    return any(Path(out).is_relative_to(dep) or Path(dep).is_relative_to(out) for dep in node.deps)


@pytest.fixture
def copied(finished, tmp_path):
    """A folder with some of the finished workspace: ``made(*paths, drop=(section, key), **changes of the configuration)``.

    Without its lists of hashes, so that a test may change a file."""

    def made(*paths: str, drop: tuple[str, str] | None = None, **changes) -> Path:
        folder = tmp_path / "copied"
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (finished / path).is_dir() else shutil.copy)(finished / path, folder / path)
        for listed in folder.rglob("SHA256SUMS"):
            listed.unlink()
        file = folder / "data/config.yaml"
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        if drop:
            del config[drop[0]][drop[1]]
        file.write_text(yaml.safe_dump(merged(config, changes)), encoding="utf-8")
        return folder

    return made


@pytest.fixture
def probed(copied):
    """As `copied`, with twenty rows of each task for merges to be tried on, no text twice."""
    from pipeline.corpus.files import read, write
    from pipeline.corpus.row import Row

    def made(*paths: str) -> Path:
        folder = copied(*paths)
        for name in ("questions", "graded"):
            rows = read(folder / f"data/curated/{name}/train.parquet", Row)
            write(folder / f"data/curated/{name}/probe.parquet", Row, rows[:20])
        return folder

    return made


def merged(tree: dict | None, changes: dict) -> dict:
    """``changes`` put into ``tree``, level by level; an empty one replaces what was there."""
    if tree is None:
        return changes
    return tree | {
        key: merged(tree.get(key), value) if isinstance(value, dict) and value else value for key, value in changes.items()
    }
