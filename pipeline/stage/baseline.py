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
from pipeline.corpus.files import controls, corpora
from pipeline.evaluator.items import grouped, summary

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["evaluate"]
    baseline = build(cfg["baseline"][item])
    evaluators = {evaluator.task: evaluator for evaluator in map(build, section["evaluators"].values())}
    scores: dict[str, Any] = {"validation": {}, "test": {}}
    items: dict[str, Any] = {"validation": {}, "test": {}}
    for corpus in corpora(CURATED):
        for split in ("validation", "test"):
            for collection in [
                c for deal in (None, *controls(CURATED, corpus)) for c in collections(CURATED, corpus, split, control=deal)
            ]:
                evaluator = evaluators[collection.task]
                answer = baseline.answer(evaluator, collection)
                if answer is None:
                    continue
                name = collection.name
                found, answers = answer
                items[split][name] = grouped(answers, collection)
                scores[split][name] = {**found, **summary(evaluator, items[split][name], section, cfg["seed"])}
    write_json(out / f"data/evaluated/{item}.json", items)
    write_json(out / f"data/metrics/evaluate/{item}.json", scores)
    test = {name: score[evaluators[name.split("/")[0]].main] for name, score in scores["test"].items()}
    print(f"{item}: " + ", ".join(f"{name} {value:.4f}" for name, value in test.items()))
    return test
