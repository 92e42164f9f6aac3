"""A few steps of the trainings of a stage, as the stage would take them, in a folder that is then removed."""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.build import build, load
from pipeline.checkpoint import sha256
from pipeline.corpus.files import read_rows
from pipeline.encoder.encoder import Encoder
from pipeline.training.job import Job
from pipeline.training.prepare import prepare
from pipeline.training.probe import Probed

CURATED, MINED = Path("data/curated"), Path("data/mined")
BASE, BACKBONE = Path("checkpoints/base"), Path("checkpoints/backbone")


def tried(name: str) -> dict[str, Any]:
    """Of ``train@<expert>``, or of all phases of ``pretrain`` together: what `Probe` found, and ``before_seconds`` until the first step.

    ValueError where the rows are not there, or do not fit the section. Where the base is not there, an encoder of its size learns.
    """
    config = load()
    if not CURATED.is_dir():
        raise ValueError(f"{CURATED} is not there yet; `dvc repro curate` makes it")
    stage, _, item = name.partition("@")
    runtime = config["runtime"] | {"probe": True, "tracker": "disabled", "devices": 1, "num_nodes": 1, "strategy": "auto"}
    if stage == "train":
        section = config["train"][item]
        return measured(section, runtime, config["seed"] if section["seed"] is None else section["seed"], config)
    found = [measured(phase, runtime, config["seed"], config) for phase in config["pretrain"]["phases"].values()]
    summed = {key: sum(one[key] for one in found) for key in ("steps", "training_seconds", "before_seconds")}
    most = {key: max(one[key] for one in found) for key in ("peak_mb", "gpu_mb", "checkpoint_mb", "weights_mb")}
    return summed | most | {"seconds": {}, "seen": {task: share for one in found for task, share in one["seen"].items()}}


def measured(section: Mapping[str, Any], runtime: Mapping[str, Any], seed: int, config: Mapping[str, Any]) -> dict[str, Any]:
    start = time.monotonic()
    prepare(runtime, seed)
    encoder = encoder_of(config)
    inputs = {str(path): sha256(path) for path in (BASE, CURATED, MINED) if path.exists()}
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            encoder=encoder, section=section, runtime=runtime, seed=seed, name=f"plan-{os.getpid()}", curated=CURATED,
            mined=None if "mine" in section else MINED, inputs=inputs, scratch=Path(folder) / "scratch",
        )  # fmt: skip
        try:
            build(section["fit"])(job)
        except Probed as probed:
            return probed.found | {"before_seconds": probed.found["began"] - start}
        finally:
            job.forget()
    raise AssertionError("a training that is tried ends with what was found")


def encoder_of(config: Mapping[str, Any]) -> Encoder:
    """The base, or what it would begin as."""
    for directory in (BASE, BACKBONE):
        if directory.is_dir():
            return Encoder.load(directory)
    settings = config["encoder"]
    rows = [row for _, row in read_rows(CURATED, "train")]
    texts = sorted({text for row in rows for text in (row.query, row.document)})
    rest = {name: settings[name] for name in ("max_length_tokens", "pooling", "projection", "prompts", "adapter")}
    return Encoder(build(settings["backbone"])(texts), **rest)
