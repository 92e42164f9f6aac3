"""Fifty random merges, bad checkpoints among them, judged on a handful of rows: none is accepted."""

import random
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pipeline.build import build
from pipeline.checkpoint import read_json
from pipeline.evaluator.scores import Scores, by_kind
from pipeline.evaluator.verdict import judge
from pipeline.stage.evaluate import run as evaluate
from pipeline.stage.merge import merge_directories

GOOD = {name: f"checkpoints/experts/{name}" for name in ("retrieval", "sts")}
PLANTED = ("noise", "shuffled", "wrong_base")


@pytest.fixture(scope="module")
def place(make, run, tmp_path_factory):
    """Two experts and three bad ones beside them: noise, trained on shuffled pairs, and of another base."""
    experts = {**GOOD, "joint": "checkpoints/controls/joint", "retrieval_control": "checkpoints/experts/shuffled"}
    folder = make(tmp_path_factory.mktemp("gate") / "workspace", experts=experts)
    for words in (
        ["compose"],
        ["ingest"],
        ["curate"],
        ["pretrain"],
        ["mine"],
        *(["train", name] for name in experts if name != "joint"),
    ):
        assert run(folder, *words) == 0
    place = folder / "checkpoints/experts"
    draw = torch.Generator().manual_seed(0)
    base = load_file(folder / "checkpoints/base/model.safetensors")
    for name in ("noise", "wrong_base"):
        shutil.copytree(place / "sts", place / name, ignore=shutil.ignore_patterns("SHA256SUMS"))
        state = {key: value.clone() for key, value in load_file(place / "sts/model.safetensors").items()}
        for key, value in state.items():
            if name == "noise":
                value += 0.3 * base[key].std(correction=0) * torch.randn(value.shape, generator=draw)
            else:
                state[key] = value.flatten()[torch.randperm(value.numel(), generator=draw)].view_as(value).clone()
        save_file(state, place / name / "model.safetensors", metadata={"format": "pt"})
    return folder


def drawn(number):
    """A merge: experts, good or planted, a method and its values."""
    draw = random.Random(number)
    experts = draw.sample([*GOOD, *PLANTED], draw.choice([2, 2, 3]))
    method = draw.choice(
        [
            {"_target_": "pipeline.merging.soup.Soup", "weights": [draw.random() + 0.01 for _ in experts]},
            {"_target_": "pipeline.merging.task_arithmetic.TaskArithmetic", "norm": draw.uniform(0.1, 1.2)},
            {
                "_target_": "pipeline.merging.slerp.Slerp",
                "norm": draw.uniform(0.5, 1.5),
                "linear_above": 0.9995,
                "scope": "model",
            },
            {"_target_": "pipeline.merging.ties.Ties", "density": 0.3, "norm": draw.uniform(0.3, 1.5), "scope": "tensor"},
        ]
    )
    return experts, method


@pytest.mark.slow
def test_of_fifty_merges_none_passes_on_rows_too_few_to_show_a_gain(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    cfg = yaml.safe_load((place / "data/config.yaml").read_text())
    runtime = cfg["runtime"]
    experts = {name: place / f"checkpoints/experts/{name}" for name in (*GOOD, *PLANTED)}
    base = place / "checkpoints/base"
    told_apart, bad = 0, set()
    cfg["models"] = {"base": "checkpoints/base", **GOOD}
    for number in range(50):
        chosen, method = drawn(number)
        section = {
            "method": method,
            "probe": None,
            "snapshots": False,
            "max_distance": 1.0 if number % 2 else 9.0,
        }  # every other one lets it pass
        paths = [experts[name] for name in chosen]
        name = f"m{number}"
        target = place / f"checkpoints/merged/{name}"
        if number % 2 and "wrong_base" in chosen:
            with pytest.raises(ValueError, match="no base in common"):
                merge_directories(base, paths, ["base", *chosen], section, target, runtime=runtime, seed=0)
            assert not target.exists()
            told_apart += 1
            continue
        merge_directories(base, paths, ["base", *chosen], section, target, runtime=runtime, seed=0)
        cfg["models"][name] = f"checkpoints/merged/{name}"
        if set(chosen) & set(PLANTED):
            bad.add(name)
    for model in cfg["models"]:
        evaluate(cfg, runtime, model, place)
    cfg["final"]["candidates"] = ["base", *GOOD]
    evaluators = by_kind({name: build(node) for name, node in cfg["evaluate"]["evaluators"].items()})
    items = {model: read_json(place / f"data/evaluated/{model}.json") for model in cfg["models"]}
    scores = {model: Scores.read(place / f"data/metrics/evaluate/{model}.json") for model in cfg["models"]}
    verdict = judge(cfg, scores, items, evaluators)
    passed = sorted(set(verdict.merges) - set(verdict.refused))
    with capsys.disabled():
        print(
            f"\n{told_apart} told apart, {len(bad)} of {len(verdict.merges)} others hold a planted one, {len(passed)} accepted"
        )
    assert told_apart > 0
    assert len(bad) > 20
    assert passed == []
    assert verdict.final == verdict.best_single
    assert "more validation rows would tell" in verdict.rows
