"""mine: hard negatives for queries that are searched among all documents: those that people gave, then those that the base finds.

Reads:  checkpoints/base/, data/curated/
Writes: data/mined/<corpus>.parquet
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.checkpoint import whole_directory
from pipeline.corpus.classmates import paired
from pipeline.corpus.files import Negative, read_rows, write
from pipeline.corpus.row import Row, teaches
from pipeline.distributed import encoding_devices
from pipeline.encoder.encoder import Encoder
from pipeline.task import kind_of
from pipeline.training.mined import further_documents, mined, with_given
from pipeline.training.prepare import prepare

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["mine"]
    prepare(runtime, cfg["seed"])
    encoder = Encoder.load(Path("checkpoints/base"))
    encoder.spread(encoding_devices(runtime))
    rows: dict[str, dict[str, list[Row]]] = {}  # by corpus and task
    for corpus, row in read_rows(CURATED, "train"):
        if kind_of(row).searched:
            rows.setdefault(corpus, {}).setdefault(row.task, []).append(row)
    metrics: dict[str, float] = {}
    with whole_directory(out / "data/mined") as folder:
        for corpus, tasks in rows.items():
            negatives: list[Negative] = []
            given = 0
            pool = further_documents(CURATED, corpus)
            for _, of_task in sorted(tasks.items()):
                if positive := paired(taught := [row for row in of_task if teaches(row)], f"{cfg['seed']} {of_task[0].task}"):
                    negatives += with_given(of_task, mined(encoder, positive, pool, section, runtime, title=corpus))
                    given += len(of_task) - len(taught)
            if given:
                print(f"{corpus}: {given} negatives that were given come before these")
            write(folder / f"{corpus}.parquet", Negative, negatives)
            metrics |= {f"{corpus}/negatives": len(negatives), f"{corpus}/queries": len({n.query for n in negatives})}
    return metrics
