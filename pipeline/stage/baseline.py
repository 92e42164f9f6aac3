"""baseline: what a model must beat to be worth its training, on the tasks that the baseline can answer.

Reads:  checkpoints/backbone/, data/curated/
Writes: data/metrics/evaluate/<baseline>.json, data/evaluated/<baseline>.json
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.build import build
from pipeline.checkpoint import write_json
from pipeline.corpus.collection import collections
from pipeline.corpus.files import corpora, deals
from pipeline.evaluator.scores import by_kind, scored
from pipeline.task import kind_of

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["evaluate"]
    baseline = build(cfg["baseline"][item])
    evaluators = by_kind({name: build(node) for name, node in section["evaluators"].items() if node is not None})
    scores: dict[str, Any] = {"validation": {}, "test": {}}
    items: dict[str, Any] = {"validation": {}, "test": {}}
    for corpus in corpora(CURATED):
        for split in ("validation", "test"):
            for collection in [
                c for deal in (None, *deals(CURATED, corpus)) for c in collections(CURATED, corpus, split, deal=deal)
            ]:
                evaluator = evaluators[kind_of(collection).name]
                answer = baseline.answer(evaluator, collection)
                if answer is not None:
                    record = scored(evaluator, collection, answer, section, cfg["seed"])
                    scores[split][collection.name], items[split][collection.name] = record
    write_json(out / f"data/evaluated/{item}.json", items)
    write_json(out / f"data/metrics/evaluate/{item}.json", scores)
    test = {name: one["value"] for name, one in scores["test"].items()}
    print(f"{item}: " + ", ".join(f"{name} {value:.4f}" for name, value in test.items()))
    return test
