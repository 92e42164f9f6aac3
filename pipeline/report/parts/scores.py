"""Test scores: a row for each model, a column for each collection, with intervals and marks."""

from collections.abc import Mapping
from typing import Any

from pipeline.evaluator.scores import at_home, averaged, mean
from pipeline.report.columns import Column, columns, marks
from pipeline.report.gather import Facts


def scores(facts: Facts) -> dict[str, Any]:
    heads = columns(facts)
    compared = sum(len(one.test) for model, one in facts.scores.items() if model != facts.final)
    fewest = 1 - facts.limits["confidence"]  # a p-value that an exchange of so few groups cannot come below gives no mark
    return {
        "heads": heads,
        "rows": _rows(facts, heads),
        "confidence": facts.limits["confidence"],
        "meanings": dict.fromkeys((head.metric, head.meaning) for head in heads if head.meaning),
        "markless": [head.name for head in heads if 2.0 ** (1 - head.num_groups) * compared > fewest],
        "no_sample": list(dict.fromkeys(head.noun for head in heads if not facts.evaluators[head.kind].sampled)),
        "guards": facts.guards,
        "told": {name: model.about for name, model in facts.models.items() if model.about},
        "gated": facts.gated[1] if facts.verdict.merges else "",
        "pooling": _named(facts.pooling) if facts.pooling else "",
    }


def _rows(facts: Facts, heads: list[Column]) -> list[dict[str, Any]]:
    """``shade`` of a cell is 0 for the worst of its column and 1 for the best."""
    marked = marks(facts)
    known = {name: one for found in facts.scores.values() for name, one in found.test.items()}
    counted = averaged(facts.evaluators, at_home(known, facts.guards))
    ends = {}
    for head in heads:
        values = [found.test[head.name]["value"] for found in facts.scores.values() if head.name in found.test]
        ends[head.name] = (min(values), max(values))
    rows = []
    for model, found in facts.scores.items():
        cells = [
            _cell(found.test[head.name], marked.get((model, head.name), ""), *ends[head.name])
            if head.name in found.test
            else None
            for head in heads
        ]
        whole = bool(counted) and all(name in found.test for name in counted)
        average = mean(found.test, counted) if whole else None
        rows.append({"model": model, "cells": cells, "mean": average, "final": model == facts.final})
    return rows


def _cell(entry: Mapping[str, Any], mark: str, low: float, high: float) -> dict[str, Any]:
    value = entry["value"]
    return {
        "value": value,
        **entry["interval"],
        "others": entry["others"],
        "mark": mark,
        "shade": (value - low) / (high - low) if high > low else 1.0,
        "best": value == high,
    }


def _named(pooling: Mapping[str, Any]) -> str:
    """The mode of a standard pooling, or the name of the module that pools."""
    return pooling.get("mode") or pooling["_target_"].split(".")[-2].replace("_", " ")
