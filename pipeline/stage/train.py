"""train: one expert, from the base.

Reads:  checkpoints/base/, data/curated/, data/mined/
Writes: the expert's directory (params.yaml: experts), data/metrics/train/<expert>.csv
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.checkpoint import sha256, whole_directory, write_provenance, write_text
from pipeline.corpus.files import Negative, read, read_rows
from pipeline.corpus.row import Row
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder, pooling_node
from pipeline.encoder.lora import adapt
from pipeline.training.fit import curve_text, fit
from pipeline.training.prepare import prepare

BASE, CURATED, MINED = Path("checkpoints/base"), Path("data/curated"), Path("data/mined")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    seed, section = cfg["seed"], cfg["train"][item]
    prepare(runtime, seed)
    encoder = Encoder.load(BASE)
    adapt(encoder)
    negatives = {"retrieval": _negatives()}
    rows = {
        task: _with_negatives(
            task, [row for _, row in read_rows(CURATED, "train", [task]) if _positive(row)], negatives, settings
        )
        for task, settings in section["tasks"].items()
    }
    inputs = {str(path): sha256(path) for path in (BASE, CURATED, MINED)}
    curve = fit(encoder, rows, negatives, section, runtime, seed=seed, name=f"train-{item}", inputs=inputs)
    if not first_process():
        return {}
    with whole_directory(out / cfg["experts"][item]) as folder:
        encoder.save(folder, pooling=pooling_node(BASE))
        parts = {str(path): path for path in (BASE, CURATED, MINED)}
        write_provenance(folder, version=__version__, config={"train": section, "seed": seed}, inputs=parts)
    write_text(out / f"data/metrics/train/{item}.csv", curve_text(curve))
    last = [point["loss"] for point in curve[-5:]]
    return {"loss": sum(last) / len(last)}


def _positive(row: Row) -> bool:
    """Graded pairs all teach; of judged ones only those that are relevant."""
    return row.task == "sts" or row.score is None or row.score > 0


def _with_negatives(
    task: str, rows: list[Row], negatives: Mapping[str, Mapping[str, list[str]]], settings: Mapping[str, Any]
) -> list[Row]:
    """The rows that have the hard negatives asked for; ValueError where there is none."""
    num_negatives, known = settings["num_negatives"], negatives.get(task, {})
    kept = [row for row in rows if len(known.get(row.query, ())) >= num_negatives]
    if rows and not kept:
        raise ValueError(
            f"task {task}: num_negatives is {num_negatives}, but no query has so many mined negatives; "
            f"raise mine.miner.num_negatives or depth, or lower num_negatives (conf/task/{task}.yaml)"
        )
    if len(kept) < len(rows) and first_process():
        print(f"{task}: {len(kept)} of {len(rows)} rows have {num_negatives} mined negatives and are trained on")
    return kept


def _negatives() -> dict[str, list[str]]:
    """By query, hardest first."""
    found: dict[str, list[str]] = {}
    for file in sorted(MINED.glob("*.parquet")):
        for negative in sorted(read(file, Negative), key=lambda n: (n.query, n.rank)):
            found.setdefault(negative.query, []).append(negative.document)
    return found
