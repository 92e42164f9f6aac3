"""pretrain: the backbone as it came, and the base that all experts start from.

Reads:  data/curated/
Writes: checkpoints/backbone/, checkpoints/base/, data/metrics/pretrain.csv
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_model, save_model

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import read_json, sha256, whole_directory, write_json, write_provenance, write_text
from pipeline.corpus.files import Negative, read, read_rows, write
from pipeline.corpus.row import Row, sequences, teaches
from pipeline.distributed import first_process, together
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.lora import adapt
from pipeline.training.fit import fit
from pipeline.training.mined import by_query, known_rows, mined, with_given, with_negatives
from pipeline.training.prepare import prepare
from pipeline.training.trainer import RUNS, Point, curve_text

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    seed, section, settings = cfg["seed"], cfg["pretrain"], cfg["encoder"]
    prepare(runtime, seed)
    rows = [row for _, row in read_rows(CURATED, "train")]
    texts = sorted({text for row in rows for text in (row.query, row.document)})
    masked = sequences(rows)
    rest = {name: settings[name] for name in ("max_length_tokens", "pooling", "prompts", "adapter")}
    encoder = Encoder(build(settings["backbone"])(texts), **rest)
    inputs = {"data/curated": CURATED}
    if first_process():
        with whole_directory(out / "checkpoints/backbone") as folder:
            encoder.save(folder)
            write_provenance(folder, version=__version__, config={"encoder": settings, "seed": seed}, inputs=inputs)
    curves: list[Point] = []
    before = [settings, seed, sha256(CURATED)]
    if section["masking"] is not None:
        before.append(section["masking"])
        inputs_of = {"before": _mark(before)}
        curves += _kept(
            encoder, "masking", before,
            lambda: build(section["masking"]["fit"], later=True)(encoder, masked, section["masking"], runtime, seed, inputs_of),
        )  # fmt: skip
    if section["phases"]:
        adapt(encoder)
    for name, phase in sorted(section["phases"].items(), key=lambda item: (item[1]["order"], item[0])):
        before = [*before, name, phase]  # what the end of this phase depends on
        curves += _phase(encoder, name, phase, before, runtime, seed)
    if not first_process():
        return {}
    with whole_directory(out / "checkpoints/base") as folder:
        encoder.save(folder)
        config = {"encoder": settings, "pretrain": section, "seed": seed}
        write_provenance(folder, version=__version__, config=config, inputs=inputs)
    write_text(out / "data/metrics/pretrain.csv", curve_text(curves))
    for folder in RUNS.glob("phase-*"):
        shutil.rmtree(folder)
    return {"loss": curves[-1]["loss"]} if curves else {}


def _phase(
    encoder: Encoder, name: str, phase: Mapping[str, Any], before: list[Any], runtime: Mapping[str, Any], seed: int
) -> list[Point]:
    """Train ``encoder`` in place, on all processes; its end is kept until the stage's, so that a stopped one begins with the next phase."""
    for task, settings in phase["tasks"].items():
        if settings["teacher"] is not None and settings["teacher"]["sha256"] is None:
            raise ValueError(
                f"phase {name}, task {task}: the teacher needs its `sha256`; checkpoints/base is what this stage makes"
            )
    mark = _mark(before)

    def train() -> list[Point]:
        judged: dict[str, list[Row]] = {task: [] for task in phase["tasks"]}
        for corpus, row in read_rows(CURATED, "train", list(judged)):
            if phase["corpora"] is None or corpus in phase["corpora"]:
                judged[row.task].append(row)
        rows = {task: [row for row in of_task if teaches(row)] for task, of_task in judged.items()}
        negatives = _negatives(encoder, judged, phase, runtime, RUNS / f"phase-{name}-{mark}-mined")
        for task, settings in phase["tasks"].items():
            rows[task] = with_negatives(task, rows[task], negatives.get(task, {}), settings["num_negatives"])
        training = {key: value for key, value in phase.items() if key not in ("order", "mine", "corpora")}
        known = known_rows(CURATED)
        held_out = {task: [row for row in known["validation"] if row.task == task] for task in rows}
        return fit(
            encoder, rows, negatives, training, runtime, seed=seed, name=f"pretrain-{name}", inputs={"before": mark},
            held_out=held_out, known=known, snapshots=None,
        )  # fmt: skip

    return _kept(encoder, name, before, train)


def _mark(before: list[Any]) -> str:
    return hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:12]


def _kept(encoder: Encoder, name: str, before: list[Any], train: Callable[[], list[Point]]) -> list[Point]:
    """The curve of ``train``, or of an earlier start of this stage that came to the same end; ``encoder`` as it was then."""
    end = RUNS / f"phase-{name}-{_mark(before)}"
    if not end.is_dir():
        curve = train()
        if first_process():
            with whole_directory(end) as folder:
                save_model(encoder, str(folder / "weights.safetensors"))
                write_json(folder / "curve.json", curve)
        together()
    load_model(encoder, end / "weights.safetensors")
    return [{"phase": name, **point} for point in read_json(end / "curve.json")]


def _negatives(
    encoder: Encoder, rows: Mapping[str, list[Row]], phase: Mapping[str, Any], runtime: Mapping[str, Any], folder: Path
) -> dict[str, dict[str, list[str]]]:
    """By task and query, mined by the encoder as the phase finds it: by the first process, for all."""
    if phase["mine"] is None:
        return {}
    if first_process() and not folder.is_dir():
        with whole_directory(folder) as partial:
            for task, of_task in rows.items():
                positive = [row for row in of_task if teaches(row)]
                found = mined(encoder, positive, phase["mine"], runtime, title=task)
                write(partial / f"{task}.parquet", Negative, with_given(of_task, found))
    together()
    return by_query([negative for task in rows for negative in read(folder / f"{task}.parquet", Negative)])
