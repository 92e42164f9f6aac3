"""mine: hard negatives for the queries of task `retrieval`: those that people gave, then those that the base finds.

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
from pipeline.training.mined import mined, with_given
from pipeline.training.prepare import prepare


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["mine"]
    prepare(runtime, cfg["seed"])
    encoder = Encoder.load(Path("checkpoints/base"))
    encoder.spread(encoding_devices(runtime))
    rows: dict[str, list[Row]] = {}
    for corpus, row in read_rows(Path("data/curated"), "train", ["retrieval"]):
        rows.setdefault(corpus, []).append(row)
    metrics: dict[str, float] = {}
    with whole_directory(out / "data/mined") as folder:
        for corpus, of_corpus in rows.items():
            positive = [row for row in of_corpus if teaches(row)]
            if not positive:
                continue
            negatives = with_given(of_corpus, mined(encoder, positive, section, runtime, title=corpus))
            if given := len(of_corpus) - len(positive):
                print(f"{corpus}: {given} negatives that were given come before these")
            write(folder / f"{corpus}.parquet", Negative, negatives)
            metrics |= {f"{corpus}/negatives": len(negatives), f"{corpus}/queries": len({n.query for n in negatives})}
    return metrics
