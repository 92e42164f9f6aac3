"""train: one expert, from the base.

Reads:  checkpoints/base/, data/curated/, data/mined/; checkpoints/backbone/ where it is a teacher
Writes: the expert's directory (params.yaml: experts), in it snapshots/<step>/ where asked for; data/metrics/train/<expert>.csv
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_model, save_file

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import OBJECTIVE, SEEN, sha256, whole_directory, write_json, write_provenance, write_text
from pipeline.delta import UNMOVED, moved
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder
from pipeline.training.job import Job
from pipeline.training.prepare import prepare
from pipeline.training.trainer import RUNS, curve_text

BASE, CURATED, MINED = Path("checkpoints/base"), Path("data/curated"), Path("data/mined")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["train"][item]
    seed = cfg["seed"] if section["seed"] is None else section["seed"]
    prepare(runtime, seed)
    encoder = Encoder.load(BASE)
    inputs = {str(path): sha256(path) for path in (BASE, CURATED, MINED)}
    job = Job(
        encoder=encoder,
        section=section,
        runtime=runtime,
        seed=seed,
        name=f"train-{item}",
        curated=CURATED,
        mined=MINED,
        inputs=inputs,
        scratch=RUNS / f"snapshots-{item}",
    )
    fitted = build(section["fit"])(job)
    if not first_process():
        return {}
    with whole_directory(out / cfg["experts"][item]) as folder:
        for file in fitted.snapshots:
            one, place = copy.deepcopy(encoder), folder / "snapshots" / file.stem
            load_model(one, str(file))
            one.save(place)
            _write_provenance(place, section, seed, step=int(file.stem))
        fitted.model.save(folder)
        if fitted.beside:
            save_file(dict(fitted.beside), folder / OBJECTIVE)
        if fitted.seen:
            _write_seen(folder, fitted.seen, str(item))
        _write_provenance(folder, section, seed)
    write_text(out / f"data/metrics/train/{item}.csv", curve_text(fitted.curve))
    job.forget()
    last = [point["loss"] for point in fitted.curve[-5:]]
    return {"loss": sum(last) / len(last)}


def _write_seen(folder: Path, seen: Mapping[str, Mapping[str, int]], item: str) -> None:
    """``folder`` holds the trained weights."""
    share = moved(BASE, folder)
    write_json(folder / SEEN, {"tasks": seen, "moved": share})
    if share <= UNMOVED:
        print(f"{item}: its weights are equal to the base's, or nearly: nothing was learned; raise the rate (pace.train_lr)")


def _write_provenance(folder: Path, section: Mapping[str, Any], seed: int, **more: Any) -> None:
    inputs = {str(path): path for path in (BASE, CURATED, MINED)}
    write_provenance(folder, version=__version__, config={"train": section, "seed": seed, **more}, inputs=inputs)
