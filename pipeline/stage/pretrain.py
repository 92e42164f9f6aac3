"""pretrain: the model off the shelf as it comes, and the base that all experts start from.

Reads:  data/curated/
Writes: checkpoints/backbone/, checkpoints/base/, data/metrics/pretrain.csv
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_model, save_model
from sentence_transformers import SentenceTransformer

from pipeline._version import __version__
from pipeline.adapter.lora import adapt
from pipeline.build import Node, build
from pipeline.checkpoint import read_json, sha256, whole_directory, write_json, write_provenance, write_text
from pipeline.corpus.files import read_rows
from pipeline.distributed import first_process, together
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.length import cut_at, cut_for
from pipeline.models import BACKBONE
from pipeline.training.checks import check_end_token
from pipeline.training.job import Job
from pipeline.training.prepare import prepare
from pipeline.training.trainer import RUNS, Point, curve_text

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    seed, section, settings = cfg["seed"], cfg["pretrain"], cfg["encoder"]
    prepare(runtime, seed)
    rows = [row for _, row in read_rows(CURATED, "train")]
    texts = sorted({text for row in rows for text in (row.query, row.document)})
    rest = {name: settings[name] for name in ("max_length_tokens", "pooling", "projection", "prompts", "adapter")}
    inputs = {"data/curated": CURATED}
    encoder = Encoder(_backbone(settings["backbone"], texts, seed, inputs, out), **rest)
    check_end_token("pretrain", encoder)
    cut = cut_for(encoder, rows, **settings["length"])
    cut_at(encoder, cut.tokens)
    if first_process():
        print(cut.told)
    curves: list[Point] = []
    before = [settings, seed, sha256(CURATED)]
    for name, phase in sorted(section["phases"].items(), key=lambda item: (item[1]["order"], item[0])):
        before = [*before, name, phase]  # what the end of this phase depends on
        curves += _phase(encoder, name, phase, before, runtime, seed)
    if not first_process():
        return {}
    with whole_directory(out / "checkpoints/base") as folder:
        encoder.save(folder)
        config = {"encoder": settings, "pretrain": section, "seed": seed, "cut": cut._asdict()}
        write_provenance(folder, version=__version__, config=config, inputs=inputs)
    write_text(out / "data/metrics/pretrain.csv", curve_text(curves))
    for folder in RUNS.glob("phase-*"):
        shutil.rmtree(folder)
    return {"loss": curves[-1]["loss"]} if curves else {}


def _backbone(node: Node, texts: Sequence[str], seed: int, inputs: Mapping[str, Path], out: Path) -> SentenceTransformer:
    """The model that is trained. It is first written as it comes off the shelf: with its own modules, prompts and length, and, where
    ``causal`` says otherwise, its own mask."""
    as_it_comes = {**node, "causal": None} if node.get("causal") is not None else node
    model = build(as_it_comes)(texts)
    if first_process():
        with whole_directory(out / BACKBONE) as folder:
            Encoder(model).save(folder)
            config = {"encoder": {"backbone": as_it_comes}, "seed": seed}
            write_provenance(folder, version=__version__, config=config, inputs=inputs)
    return model if as_it_comes is node else build(node)(texts)


def _phase(
    encoder: Encoder, name: str, phase: Mapping[str, Any], before: list[Any], runtime: Mapping[str, Any], seed: int
) -> list[Point]:
    """Train ``encoder`` in place, on all processes; its end is kept until the stage's, so that a stopped one begins with the next phase."""
    mark = hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:12]
    end = RUNS / f"phase-{name}-{mark}"
    if not end.is_dir():
        job = Job(
            encoder=encoder,
            section=phase,
            runtime=runtime,
            seed=seed,
            name=f"pretrain-{name}",
            curated=CURATED,
            mined=None,
            inputs={"before": mark},
            scratch=RUNS / f"phase-{name}-{mark}-scratch",
        )
        fitted = build(phase["fit"])(job)
        if first_process():
            with whole_directory(end) as folder:
                save_model(encoder, str(folder / "weights.safetensors"))
                write_json(folder / "curve.json", fitted.curve)
            job.forget()
        together()
    with safe_open(end / "weights.safetensors", "pt") as kept:
        if set(kept.keys()) - set(encoder.state_dict()):  # of the adapter, which the phase put on
            adapt(encoder)
    load_model(encoder, end / "weights.safetensors")
    return [{"phase": name, **point} for point in read_json(end / "curve.json")]
