"""mine: hard negatives for queries that are searched among all documents, found by the base.

Reads:  checkpoints/base/, data/curated/
Writes: data/mined/<corpus>.parquet
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.checkpoint import whole_directory
from pipeline.corpus.files import Negative, read_rows, write
from pipeline.corpus.row import Row, teaches
from pipeline.distributed import encoding_devices
from pipeline.encoder.encoder import Encoder
from pipeline.task import kind_of
from pipeline.training.mined import mined
from pipeline.training.prepare import prepare


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["mine"]
    prepare(runtime, cfg["seed"])
    encoder = Encoder.load(Path("checkpoints/base"))
    encoder.spread(encoding_devices(runtime))
    rows: dict[str, dict[str, list[Row]]] = {}  # by corpus and task
    for corpus, row in read_rows(Path("data/curated"), "train"):
        if kind_of(row).pool and teaches(row):
            rows.setdefault(corpus, {}).setdefault(row.task, []).append(row)
    metrics: dict[str, float] = {}
    with whole_directory(out / "data/mined") as folder:
        for corpus, tasks in rows.items():
            negatives = [n for _, of in sorted(tasks.items()) for n in mined(encoder, of, section, runtime, title=corpus)]
            write(folder / f"{corpus}.parquet", Negative, negatives)
            metrics |= {f"{corpus}/negatives": len(negatives), f"{corpus}/queries": len({n.query for n in negatives})}
    return metrics
