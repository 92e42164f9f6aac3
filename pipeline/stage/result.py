"""result: before and after in a few lines, with what the run took.

python -m pipeline result

Reads:  checkpoints/final/chosen.json, data/config.yaml, costs/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import load
from pipeline.checkpoint import read_json
from pipeline.evaluator.before import table
from pipeline.report.costs import of_page, recorded, total

CHOSEN = Path("checkpoints/final/chosen.json")


def run(words: Sequence[str]) -> None:
    if words:
        raise ValueError(f"result takes no words, got {' '.join(words)}")
    if not CHOSEN.is_file():
        raise ValueError(f"{CHOSEN} is missing; run `dvc repro`, which makes it")
    chosen = read_json(CHOSEN)
    config = load()
    print("\n".join(told(chosen, config["final"]["confidence"], recorded(of_page(config)))))


def told(chosen: Mapping[str, Any], confidence: float, costs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each model, with its cost, and the sentence that says whether the final one is better."""
    before = chosen["before"]
    heads, *rows = table(before, confidence)
    took = {cost["stage"]: cost["seconds"] / 60 for cost in costs}
    models = [_cost(model, before, took, total(costs)) for model in before["rows"]]
    cells = [[*heads, "cost"], *([*row, *models[i : i + 1]] for i, row in enumerate(rows))]
    widths = [max(len(row[at]) for row in cells if at < len(row)) for at in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in cells]
    return [*lines, before["sentence"]]


def _cost(model: str, before: Mapping[str, Any], took: Mapping[str, float], whole: str) -> str:
    if model == before["final"] and model != before["shelf"]:
        return whole or "not recorded"
    if model == before["shelf"]:
        return "no training"
    found = took.get(f"baseline@{model}")
    return "not recorded" if found is None else f"{found:.1f} minutes, no training"
