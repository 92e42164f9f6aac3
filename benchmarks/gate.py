"""Fifty random merges of real checkpoints, bad ones planted among them: which are accepted, and which of these are worse on fresh items.

    python benchmarks/gate.py --folder <a cell of claim.py> [--merges 50]

Planted: an expert with noise of 0.2, 0.5 or 1 standard deviation of each tensor, trainings on shuffled pairs, and another base (the
expert's weights, each tensor shuffled). The gate sees validation items; merges are then compared with the best single model on test.
"""

import argparse
import copy
import os
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from sampled import Size, evaluate, evaluators

from pipeline.build import load
from pipeline.evaluator.comparison import differences, exchanges_needed, p_values, significant
from pipeline.evaluator.scores import Scores
from pipeline.evaluator.verdict import judge
from pipeline.stage import train
from pipeline.stage.merge import merge_directories

SIZES = {"validation": Size(queries=2000, documents=2500, pairs=2000), "test": Size(queries=4000, documents=5000, pairs=4000)}
GOOD = {"retrieval": "checkpoints/experts/retrieval", "sts": "checkpoints/experts/sts", "joint": "checkpoints/joint"}
BASE = Path("checkpoints/base")
NOISE = (0.2, 0.5, 1.0)


def shuffled(config: dict[str, Any], task: str) -> str:
    """The expert's training on pairs dealt at random."""
    name, place = f"{task}_shuffled", f"checkpoints/shuffled/{task}"
    if not Path(place).is_dir():
        section = copy.deepcopy(config["train"][task])
        section["tasks"][task]["shuffle_documents"] = True
        own = config | {"train": {name: section}, "experts": config["experts"] | {name: place}}
        train.run(own, own["runtime"], name, Path())
    return place


def plant(config: dict[str, Any]) -> dict[str, str]:
    """Bad checkpoints by name."""
    found = {f"{task}_shuffled": shuffled(config, task) for task in ("retrieval", "sts")}
    draw = torch.Generator().manual_seed(0)
    base = load_file(BASE / "model.safetensors")
    expert = Path(GOOD["sts"])
    for name in (*(f"noise{scale}" for scale in NOISE), "wrong_base"):
        place = Path("planted") / name
        found[name] = str(place)
        if place.is_dir():
            continue
        shutil.copytree(expert, place)
        state = {key: value.clone() for key, value in load_file(expert / "model.safetensors").items()}
        for key, value in state.items():
            if name == "wrong_base":
                state[key] = value.flatten()[torch.randperm(value.numel(), generator=draw)].view_as(value).clone()
            else:
                value += (
                    float(name.removeprefix("noise")) * base[key].std(correction=0) * torch.randn(value.shape, generator=draw)
                )
        save_file(state, place / "model.safetensors", metadata={"format": "pt"})
    return found


def drawn(number: int, planted: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Experts, good or planted with even chance, a method and its values."""
    draw = random.Random(number)
    pool = [*(["retrieval", "sts", "joint"]), *(planted if number % 2 else [])]
    experts = draw.sample(pool, draw.choice([2, 2, 3]))
    if number % 2 and not set(experts) & set(planted):
        experts[-1] = draw.choice(planted)
    target = "pipeline.merging"
    return experts, draw.choice([
        {"_target_": f"{target}.soup.Soup", "weights": [draw.random() + 0.01 for _ in experts]},
        {"_target_": f"{target}.task_arithmetic.TaskArithmetic", "norm": draw.uniform(0.1, 1.2)},
        {"_target_": f"{target}.slerp.Slerp", "norm": draw.uniform(0.5, 1.5), "linear_above": 0.9995, "scope": "model"},
        {"_target_": f"{target}.ties.Ties", "density": 0.3, "norm": draw.uniform(0.3, 1.5), "scope": "tensor"},
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--merges", type=int, default=50)
    asked = parser.parse_args()
    os.chdir(asked.folder)
    config = load()
    planted = plant(config)
    experts = GOOD | planted
    models, bad, told_apart = {"base": str(BASE), **GOOD}, set(), 0
    for number in range(asked.merges):
        chosen, method = drawn(number, sorted(planted))
        name = f"m{number}"
        most = (
            config["merge"]["soup"]["max_distance"] if number % 4 == 1 else 9.0
        )  # most wrong bases get by, to be told by the items
        section = {"method": method, "probe": None, "snapshots": False, "max_distance": most}
        target = Path("gate/checkpoints/merged") / name
        try:
            if not target.is_dir():
                paths = [Path(experts[e]) for e in chosen]
                merge_directories(BASE, paths, ["base", *chosen], section, target, runtime=config["runtime"], seed=0)
        except ValueError as error:
            if "no base in common" not in str(error):
                raise
            told_apart += 1
            continue
        models[name] = str(target)
        if set(chosen) & set(planted):
            bad.add(name)
    items = evaluate(models, dict.fromkeys(models, ("validation", "test")), SIZES, Path("gate/items"))
    asked_of = evaluators()
    num = {split: {name: len(one["id"]) for name, one in items["base"][split].items()} for split in SIZES}
    print(f"items: {num}")
    scores = {
        m: Scores(
            {
                "validation": {n: one | {"value": _score(asked_of, one)} for n, one in at["validation"].items()},
                "test": at["test"],
            }
        )
        for m, at in items.items()
    }
    section = config["final"] | {"candidates": ["base", *GOOD]}
    merges = [m for m in models if m.startswith("m")]
    verdict = judge({"final": section, "models": models, "seed": 0, "evaluate": {"guards": []}}, scores, items, asked_of)
    passed = sorted(set(verdict.merges) - set(verdict.refused))
    limits = {"resamples": 1000, "confidence": 0.95, "seed": 1}
    fresh = {m: differences(asked_of, items[m]["test"], items[verdict.best_single]["test"], **limits) for m in merges}
    print(f"{asked.merges} merges, {told_apart} refused by distance, {len(bad)} others hold a planted checkpoint")
    for what, group in (("planted", bad), ("good only", set(merges) - bad)):
        own = [m for m in passed if m in group]
        worse = sorted(m for m in own if any(d.high < 0 for d in fresh[m].values()))
        below = sorted(m for m in own if any(d.value < 0 for d in fresh[m].values()))
        print(f"{what}: {len(own)} of {len(group)} accepted; of these on test below 0 on some collection: {len(below)}")
        print(f"  with the whole interval below 0: {len(worse)} {worse}")
        harmful = [m for m in group if any(d.high < 0 for d in fresh[m].values())]
        print(
            f"  of the {len(harmful)} of them that test calls worse on a task, {len(set(harmful) - set(passed))} were refused"
        )
    enough = exchanges_needed(len(passed) * len(items["base"]["test"]), confidence=0.95)
    p = {
        (m, name): value
        for m in passed
        for name, value in p_values(
            asked_of, items[m]["test"], items[verdict.best_single]["test"], exchanges=enough, seed=1
        ).items()
    }
    sure = significant(p, confidence=0.95) if p else {}
    print(
        "significantly worse on test after Holm:",
        [cell for cell, yes in sure.items() if yes and fresh[cell[0]][cell[1]].value < 0],
    )
    print(f"best single {verdict.best_single}, final {verdict.final}")
    for m in passed:
        print(m, {n: f"{d.value:+.4f} ({d.low:+.4f} to {d.high:+.4f})" for n, d in fresh[m].items()})


def _score(asked: dict[str, Any], one: dict[str, Any]) -> float:
    import numpy as np

    return float(asked[one["kind"]].resampled(one, np.ones((1, len(one["id"])), dtype=np.uint16))[0])


if __name__ == "__main__":
    main()
