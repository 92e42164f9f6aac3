"""track: every stage of dvc.lock as a run of one W&B group: its parameters and metrics, what it read and what it wrote.

Reads:  dvc.lock, and the metrics, report and checkpoints that it names
Writes: wandb/ (offline, unless logged in or told otherwise by runtime.tracker)

Checkpoints and the report are artifacts with their files; data is an artifact of its hash alone, so no row leaves the machine. After
`dvc repro`, not inside the stages: W&B takes some seconds to start, and 20 stages would pay that each.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import wandb
import yaml

from pipeline.build import load
from pipeline.checkpoint import write_text
from pipeline.training.tracking import group, tracker_mode

LOCK = Path("dvc.lock")
SHOWN = ("checkpoints/", "data/report")  # whose files go with the artifact


def run(words: list[str]) -> None:
    if not LOCK.is_file():
        raise ValueError(f"{LOCK} is missing; run `dvc repro` first")
    runtime = load()["runtime"]
    mode = tracker_mode(runtime["tracker"])
    if mode == "disabled":
        return
    stages = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]
    done = Path("wandb/tracked")
    before = _tracked(done)
    named = {name: _mark(f"{mode} {name}", stage) for name, stage in stages.items()}
    new = [name for name in _in_order(stages) if named[name] not in before]
    Path("wandb").mkdir(exist_ok=True)
    files: dict[str, Path] = {}
    for name in new:
        before[named[name]] = ""
        if file := _stage(name, stages[name], runtime["project"], mode):
            files[named[name]] = file
        _write(done, before | {mark: f"{file.stat().st_size} {file}" for mark, file in files.items()})
    if files:  # W&B's service may still write: the sizes are those that it leaves
        wandb.teardown()
        _write(done, before | {mark: f"{file.stat().st_size} {file}" for mark, file in files.items()})
    print(
        f"tracked {len(new)} of {len(stages)} stages, {mode}; the others were before"
        if len(new) < len(stages)
        else f"tracked {len(stages)} stages, {mode}"
    )


def _write(done: Path, kept: Mapping[str, str]) -> None:
    write_text(done, "".join(f"{mark} {one}".rstrip() + "\n" for mark, one in sorted(kept.items())))


def _tracked(done: Path) -> dict[str, str]:
    """What was tracked before: by mark the size and the place of an offline run's file, nothing for a run that W&B has.

    An offline run that is damaged or gone, and was never sent, is left out, so it is made again.
    """
    found = {}
    for line in done.read_text(encoding="utf-8").splitlines() if done.is_file() else ():
        mark, _, kept = line.partition(" ")
        size, _, place = kept.partition(" ")
        file = Path(place)
        if kept and not Path(f"{place}.synced").is_file() and (not file.is_file() or file.stat().st_size < int(size)):
            print(f"{file}: the run is damaged or gone, expected {size} bytes; it is tracked again")
            continue
        found[mark] = kept
    return found


def _stage(name: str, stage: Mapping[str, Any], project: str, mode: str) -> Path | None:
    """The file of the run, where it is offline."""
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
    config: dict[str, Any] = dict(stage.get("params", {}))
    config["inputs"] = {dep["path"]: dep["md5"] for dep in stage.get("deps", []) if "md5" in dep}
    run = wandb.init(
        project=project,
        name=name,
        group=group(),
        job_type=name.split("@")[0],
        config=config,
        dir=".",
        mode=mode,  # pyright: ignore[reportArgumentType]
        settings=settings,
    )
    for dep in stage.get("deps", []):
        if dep["path"].startswith(("checkpoints/", "data/")):
            _used(run, _artifact(dep))
    for out in stage.get("outs", []):
        run.log_artifact(_artifact(out))
        if out["path"].endswith(".json") and out["path"].startswith("data/metrics/") and Path(out["path"]).is_file():
            content = json.loads(Path(out["path"]).read_text(encoding="utf-8"))
            run.summary.update(dict(numbers(content)))
            if {"validation", "test"} <= content.keys() and out["path"].startswith("data/metrics/evaluate/"):
                columns: list[Any] = ["split", "task", "corpus", "deal", "metric", "value"]
                run.log({"scores": wandb.Table(columns=columns, data=score_rows(content))})
    folder = Path(run.dir).parent
    run.finish()
    return next((Path(os.path.relpath(file)) for file in sorted(folder.glob("*.wandb"))), None) if mode == "offline" else None


def _used(run: Any, artifact: wandb.Artifact) -> None:
    """What the run read. Offline `use_artifact` refuses; this is what it does with an artifact that was not yet logged, and the
    record is kept for `wandb sync`."""
    if run.offline:
        run._log_artifact(artifact, use_after_commit=True)
    else:
        run.use_artifact(artifact)


def _artifact(entry: Mapping[str, Any]) -> wandb.Artifact:
    """Of an entry of dvc.lock: the same for the stage that wrote it and those that read it."""
    path = Path(entry["path"])
    kind = "model" if entry["path"].startswith("checkpoints/") else "report" if entry["path"] == "data/report" else "data"
    artifact = wandb.Artifact(entry["path"].replace("/", "-"), type=kind, metadata={"path": entry["path"], "md5": entry["md5"]})
    with artifact.new_file("dvc.json") as file:  # an artifact's version goes by its files
        json.dump({"path": entry["path"], "md5": entry["md5"]}, file)
    if entry["path"].startswith(SHOWN):
        for file in sorted(path.rglob("*")):
            if file.is_file():
                artifact.add_file(str(file), name=file.relative_to(path).as_posix(), policy="immutable", skip_cache=True)
    return artifact


def score_rows(content: Mapping[str, Any]) -> list[Any]:
    """A row for each number of a model's scores: split, task, corpus, deal, metric, value."""
    return [
        [split, one["task"], one["corpus"], one["deal"], metric, value]
        for split in ("validation", "test")
        for one in content[split].values()
        for metric, value in {one["metric"]: one["value"], **one["interval"], **one["others"]}.items()
    ]


def numbers(tree: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """``{"a": {"b": 1}}`` -> ``("a/b", 1)``, numbers alone."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", value


def _mark(name: str, stage: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([name, stage], sort_keys=True).encode()).hexdigest()[:16]


def _in_order(stages: Mapping[str, Any]) -> list[str]:
    """Each stage behind those whose outputs it reads, so that artifacts are written before they are read."""
    waiting, found = dict(stages), []
    while waiting:
        outs = {name: {out["path"] for out in stage.get("outs", [])} for name, stage in waiting.items()}
        ready = [
            name
            for name, stage in waiting.items()
            if not any(
                _within(dep["path"], out)
                for other, paths in outs.items()
                if other != name
                for out in paths
                for dep in stage.get("deps", [])
            )
        ]
        assert ready, "dvc.lock: the stages wait for one another"
        found += ready
        waiting = {name: stage for name, stage in waiting.items() if name not in ready}
    return found


def _within(a: str, b: str) -> bool:
    return Path(a).is_relative_to(b) or Path(b).is_relative_to(a)
