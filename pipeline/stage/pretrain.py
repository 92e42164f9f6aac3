"""pretrain: the backbone as it came, and the base that all experts start from.

Reads:  data/curated/
Writes: checkpoints/backbone/, checkpoints/base/, data/metrics/pretrain.csv
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.checkpoint import sha256, whole_directory, write_provenance, write_text
from pipeline.corpus.files import read_rows
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.lora import adapt
from pipeline.params import build
from pipeline.training.fit import Point, curve_text, fit
from pipeline.training.prepare import prepare

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    seed, section, settings = cfg["seed"], cfg["pretrain"], cfg["encoder"]
    prepare(runtime, seed)
    rows = [row for _, row in read_rows(CURATED, "train")]
    texts = sorted({text for row in rows for text in (row.query, row.document)})
    backbone, tokenizer = build(settings["backbone"])(texts)
    rest = {name: settings[name] for name in ("max_length_tokens", "prompts", "adapter")}
    encoder = Encoder(backbone, tokenizer, build(settings["pooling"]), **rest)
    inputs = {"data/curated": CURATED}
    if first_process():
        with whole_directory(out / "checkpoints/backbone") as folder:
            encoder.save(folder, pooling=settings["pooling"])
            write_provenance(folder, version=__version__, config={"encoder": settings, "seed": seed}, inputs=inputs)
    if section["phases"]:
        adapt(encoder)
    curves: list[Point] = []
    for name, phase in section["phases"].items():
        of_task = {task: [row for row in rows if row.task == task] for task in phase["tasks"]}
        curve = fit(
            encoder, of_task, {}, phase, runtime, seed=seed, name=f"pretrain-{name}", inputs={"curated": sha256(CURATED)}
        )
        curves += [{"phase": name, **point} for point in curve]
    if not first_process():
        return {}
    with whole_directory(out / "checkpoints/base") as folder:
        encoder.save(folder, pooling=settings["pooling"])
        config = {"encoder": settings, "pretrain": section, "seed": seed}
        write_provenance(folder, version=__version__, config=config, inputs=inputs)
    write_text(out / "data/metrics/pretrain.csv", curve_text(curves))
    return {"loss": curves[-1]["loss"]} if curves else {}
