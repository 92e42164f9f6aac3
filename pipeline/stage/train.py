"""train: one expert, from the base.

Reads:  checkpoints/base/, data/curated/, data/mined/
Writes: the expert's directory (params.yaml: experts), in it snapshots/<step>/ where asked for; data/metrics/train/<expert>.csv
"""

import copy
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_model

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import sha256, whole_directory, write_provenance, write_text
from pipeline.corpus.files import Negative, read, read_rows
from pipeline.corpus.row import SPLITS, Row
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.lora import adapt
from pipeline.training.checks import check_rows
from pipeline.training.fit import fit
from pipeline.training.mined import by_query, known_rows, with_negatives
from pipeline.training.prepare import prepare
from pipeline.training.snapshots import Snapshots
from pipeline.training.trainer import RUNS, Point, curve_text

BASE, CURATED, MINED = Path("checkpoints/base"), Path("data/curated"), Path("data/mined")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    seed, section = cfg["seed"], cfg["train"][item]
    prepare(runtime, seed)
    if section["affinity"] is not None:
        return _affinity(cfg, runtime, str(item), out)
    negatives = by_query([n for file in sorted(MINED.glob("*.parquet")) for n in read(file, Negative)])
    rows: dict[str, list[Row]] = {}
    known = known_rows(CURATED)
    for task, settings in section["tasks"].items():
        of_task = [row for row in known["train"] if row.task == task]
        rows[task] = with_negatives(task, of_task, negatives.get(task, {}), settings["num_negatives"])
    check_rows(f"train-{item}", section, runtime, rows, negatives)
    encoder = Encoder.load(BASE)
    adapt(encoder)
    inputs = {str(path): sha256(path) for path in (BASE, CURATED, MINED)}
    held_out = {task: [row for row in known["validation"] if row.task == task] for task in rows}
    kept = Snapshots(RUNS / f"snapshots-{item}", **section["snapshots"]) if section["snapshots"] else None
    curve = fit(
        encoder, rows, negatives, section, runtime, seed=seed, name=f"train-{item}", inputs=inputs, held_out=held_out, known=known,
        snapshots=kept,
    )  # fmt: skip
    if not first_process():
        return {}
    with whole_directory(out / cfg["experts"][item]) as folder:
        for file in kept.files() if kept else []:
            one, place = copy.deepcopy(encoder), folder / "snapshots" / file.stem
            load_model(one, str(file))
            one.save(place)
            _write_provenance(place, section, seed, (BASE, CURATED, MINED), step=int(file.stem))
        encoder.save(folder)
        _write_provenance(folder, section, seed, (BASE, CURATED, MINED))
    if kept:
        shutil.rmtree(kept.folder, ignore_errors=True)
    return _told(item, curve, out)


def _affinity(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str, out: Path) -> dict[str, float]:
    """An expert that predicts a number for a complex, on the deal of the rows that its section names."""
    seed, section = cfg["seed"], cfg["train"][item]
    rows = {
        split: [row for _, row in read_rows(CURATED, split, list(section["tasks"]), deal=section["control"])]
        for split in SPLITS
    }
    encoder = Encoder.load(BASE)
    inputs = {str(path): sha256(path) for path in (BASE, CURATED)}
    fit = build(section["affinity"]["fit"], later=True)
    model, curve = fit(encoder, rows, section, runtime, seed=seed, name=f"train-{item}", inputs=inputs)
    if not first_process():
        return {}
    with whole_directory(out / cfg["experts"][item]) as folder:
        model.save(folder)
        _write_provenance(folder, section, seed, (BASE, CURATED))
    return _told(item, curve, out)


def _write_provenance(folder: Path, section: Mapping[str, Any], seed: int, parts: Sequence[Path], **more: Any) -> None:
    inputs = {str(path): path for path in parts}
    write_provenance(folder, version=__version__, config={"train": section, "seed": seed, **more}, inputs=inputs)


def _told(item: str | None, curve: Sequence[Point], out: Path) -> dict[str, float]:
    write_text(out / f"data/metrics/train/{item}.csv", curve_text(curve))
    last = [point["loss"] for point in curve[-5:]]
    return {"loss": sum(last) / len(last)}
