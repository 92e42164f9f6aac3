"""baseline: BM25 on the retrieval tasks, what a model must beat to be worth its vectors.

Reads:  data/curated/
Writes: data/metrics/evaluate/bm25.json, data/evaluated/bm25.json
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.checkpoint import write_json
from pipeline.corpus.collection import collections
from pipeline.corpus.files import corpora
from pipeline.evaluator.bm25 import bm25
from pipeline.metric import draws, interval
from pipeline.params import build

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["evaluate"]
    evaluator = build(section["evaluators"]["retrieval"])
    scores: dict[str, Any] = {"validation": {}, "test": {}}
    items: dict[str, Any] = {"validation": {}, "test": {}}
    for corpus in corpora(CURATED):
        for split in ("validation", "test"):
            for collection in collections(CURATED, corpus, split):
                if collection.task != evaluator.task:
                    continue
                name = f"{collection.task}/{corpus}"
                found, items[split][name] = evaluator.judge(bm25, collection)
                index = draws(len(collection.queries), section["resamples"], seed=cfg["seed"])
                drawn = evaluator.resampled(items[split][name], index)
                low, high = interval(drawn, section["confidence"], num_items=len(collection.queries))
                scores[split][name] = {**found, "low": low, "high": high, "num_items": len(collection.queries)}
    write_json(out / "data/evaluated/bm25.json", items)
    write_json(out / "data/metrics/evaluate/bm25.json", scores)
    return {name: score[evaluator.main] for name, score in scores["test"].items()}
