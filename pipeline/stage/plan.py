"""plan: what `dvc repro` would run, why, on what, and what that takes, before anything starts.

python -m pipeline plan           a few steps of each training that would run are tried, one after another: up to a minute each
python -m pipeline plan brief     nothing is tried: what the same stages took the last time

Reads:  conf/, params.yaml, DVC's status, what is there of data/curated/ and checkpoints/, costs/
Writes: data/config.yaml, as `compose` does; nothing else is left
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import load
from pipeline.checkpoint import read_json, size_of
from pipeline.stage.compose import run as compose
from pipeline.stage.due import Due, due

CURATED, COSTS = Path("data/curated"), Path("costs")
BEFORE = ("ingest", "curate", "pretrain", "mine")  # a training reads what these write
LONGEST_SECONDS = 300  # that a try may take
KEPT = 3  # checkpoints at once: two that stay, and the one that is written


def run(words: Sequence[str]) -> None:
    if words[:1] == ["try"] and len(words) == 2:
        from pipeline.stage.tried import tried

        print("\n" + json.dumps(tried(words[1])))
        return
    if list(words) not in ([], ["brief"]):
        raise ValueError(f"plan takes the word brief, or none, got {' '.join(words)}")
    compose(Path())
    config = load()
    waiting, others = due()
    costs = {file.stem: read_json(file) for file in COSTS.glob("*.json")}
    if words:
        print("\n".join(brief(waiting, others, costs)))
        return
    print("\n".join(rows_of(CURATED)))
    if first := [one.name for one in waiting if one.name in BEFORE]:
        print(f"these are the rows of the last run, and so are the figures below: {', '.join(first)} would run first")
    lines = [line_of(one, costs.get(one.name), {}) for one in waiting]
    for i, one in enumerate(waiting):
        found = try_out(one.name, config) if one.name.split("@")[0] in ("train", "pretrain") else {}
        lines[i] = line_of(one, costs.get(one.name), found)
    print("\n".join(table(lines, others)))


def brief(waiting: Sequence[Due], others: Sequence[str], costs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What would run, and in a line what it took the last time."""
    if not waiting:
        return [f"plan: nothing to run, {len(others)} stages are as they were"]
    known = [costs[one.name] for one in waiting if one.name in costs]
    minutes, peak = sum(cost["seconds"] for cost in known) / 60, max((cost["peak_mb"] for cost in known), default=0) / 1e3
    lines = [
        f"plan: {len(waiting)} of {len(waiting) + len(others)} stages would run, first {waiting[0].name}: {waiting[0].why}"
    ]
    took = (
        f"{len(known)} of them took {minutes:.1f} minutes and at most {peak:.1f} GB of memory the last time; " if known else ""
    )
    return [*lines, f"plan: {took}`python -m pipeline plan` tries the trainings and says more"]


def rows_of(curated: Path) -> list[str]:
    """By corpus how many rows of each split and task there are; a sentence where there are none yet."""
    cards = {file.parent.name: read_json(file)["kept"] for file in sorted(curated.glob("*/card.json"))}
    found = [f"on {name}: " + ", ".join(f"{num} {what} rows" for what, num in kept.items()) for name, kept in cards.items()]
    return found or [
        f"on rows that are not there yet: {curated} is missing; `dvc repro curate` makes it, and a plan then says more"
    ]


def try_out(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a process of its own measures of the trainings of a stage; ``fault`` where it could not."""
    stage, _, item = name.partition("@")
    if item in config["left_out"].get(stage, {}) or (stage == "pretrain" and not config["pretrain"]["phases"]):
        return {}
    command = [sys.executable, "-m", "pipeline", "plan", "try", name]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS,
            env=os.environ | {"TRIBUTARY_TRACEBACK": ""},
        )
    except subprocess.TimeoutExpired:
        return {"fault": f"its first steps took more than {LONGEST_SECONDS} s"}
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        return {"fault": said[-1].removeprefix("error in plan: ")}
    return {"try_seconds": time.monotonic() - start} | json.loads(done.stdout.splitlines()[-1])


def line_of(one: Due, cost: Mapping[str, Any] | None, found: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a stage: by trying it, or by its last run."""
    line = {"stage": one.name, "why": one.why, "told": found.get("fault", "")}
    if "training_seconds" in found:
        seen = "; ".join(
            f"{task} {share['rows']:.0%} of the rows, {share['tokens']:.0%} of their tokens"
            for task, share in found["seen"].items()
        )
        steps = f"{found['steps']} steps" + (f", {seen}" if seen else "")
        disk = found["weights_mb"] + KEPT * found["checkpoint_mb"]
        seconds = found["before_seconds"] + found["training_seconds"]
        return line | {
            "seconds": seconds,
            "peak_mb": found["peak_mb"],
            "gpu_mb": found["gpu_mb"],
            "disk_mb": disk,
            "told": steps,
            "by": "tried",
        }
    there = sum(size_of(Path(out)) for out in one.outs if Path(out).exists()) / 1e6
    if cost is None:
        return line | {
            "seconds": None,
            "peak_mb": None,
            "gpu_mb": 0.0,
            "disk_mb": there or None,
            "by": "not known: it has not run here",
        }
    return line | {
        "seconds": cost["seconds"],
        "peak_mb": cost["peak_mb"],
        "gpu_mb": 0.0,
        "disk_mb": there or None,
        "by": "as last time",
    }


def table(lines: Sequence[Mapping[str, Any]], others: Sequence[str]) -> list[str]:
    """The plan in columns, its sums, and what does not fit this machine."""
    if not lines:
        return [f"nothing to run: {len(others)} stages are as they were"]
    heads = ("stage", "minutes", "memory", "disk", "by", "why", "")
    cells = [heads, *(
        (line["stage"], shown(line["seconds"], 60, ""), shown(line["peak_mb"], 1e3, " GB"), shown(line["disk_mb"], 1, " MB"), line["by"],
         line["why"] if len(line["why"]) < 60 else line["why"][:57] + "...", line["told"])
        for line in lines
    )]  # fmt: skip
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    found = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    unknown = [line["stage"] for line in lines if line["seconds"] is None]
    minutes = sum(line["seconds"] or 0.0 for line in lines) / 60
    peak, disk = (max((line["peak_mb"] or 0.0 for line in lines), default=0.0), sum(line["disk_mb"] or 0.0 for line in lines))
    sums = f"{minutes:.1f} minutes, {peak / 1e3:.1f} GB of memory, {disk:.0f} MB of disk, and as much again for DVC's cache"
    found.append(
        f"{len(lines)} of {len(lines) + len(others)} stages: {sums}"
        + (f"; not known of {', '.join(unknown)}" if unknown else "")
    )
    return found + lacking(peak, 2 * disk)


def lacking(peak_mb: float, disk_mb: float) -> list[str]:
    """What this machine has too little of."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    free = shutil.disk_usage(Path()).free / 1e6
    found = []
    if peak_mb > memory:
        found.append(f"too little memory: {memory / 1e3:.1f} GB are there; lower runtime.kept_tokens, which changes no result")
    if disk_mb > free:
        found.append(f"too little disk: {free:.0f} MB are free here; make room first")
    return found


def shown(value: float | None, unit: float, name: str) -> str:
    return "?" if value is None else f"{value / unit:.{0 if unit == 1 else 1}f}{name}"
