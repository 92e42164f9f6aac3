"""Is model A better than model B on the same items? Paired bootstrap and permutation test, and the rule by which a merge is accepted.

Items with groups (complexes of one PDB entry) are drawn and exchanged by whole groups: items of one group are no independent evidence.

Source: Efron and Tibshirani 1993, ch. 16; for retrieval: Sakai 2006, doi:10.1145/1148170.1148261. The rule is our design.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metric import draws, exchanges, group_draws, holm, interval, p_value

Items = Mapping[str, Mapping[str, Any]]  # per "task/corpus": what an evaluator's `resampled` reads


@dataclass(frozen=True, slots=True)
class Difference:
    """``a - b`` in the main score: as measured, the interval of the paired draws, and ``p`` of a permutation test."""

    value: float
    low: float
    high: float
    p: float


def differences(
    evaluators: Mapping[str, Any], a: Items, b: Items, *, resamples: int, confidence: float, seed: int
) -> dict[str, Difference]:
    """For every collection, by ``task/corpus``. Both models were evaluated on the same items in the same order."""
    found: dict[str, Difference] = {}
    for name in sorted(a):
        evaluator = evaluators[name.split("/")[0]]
        assert a[name]["id"] == b[name]["id"], f"{name}: the two models saw different items"
        num_items = len(a[name]["id"])
        groups = a[name].get("group") or [str(i) for i in range(num_items)]
        num_groups = len(set(groups))
        if num_groups == num_items:
            index = [draws(num_items, resamples, seed=seed)]
        else:
            index = [rows[None] for rows in group_draws(groups, resamples, seed=seed)]
        drawn = np.concatenate([evaluator.resampled(a[name], rows) - evaluator.resampled(b[name], rows) for rows in index])
        low, high = interval(drawn, confidence, num_items=num_groups)
        everything = np.arange(num_items)[None, :]
        value = float(evaluator.resampled(a[name], everything)[0] - evaluator.resampled(b[name], everything)[0])
        swap = exchanges(num_groups, resamples, seed=seed)
        if num_groups < num_items:
            swap = swap[:, np.unique(groups, return_inverse=True)[1]]
        unchanged = float(evaluator.exchanged(a[name], b[name], np.zeros((1, num_items), dtype=bool))[0])
        found[name] = Difference(value, low, high, p_value(unchanged, evaluator.exchanged(a[name], b[name], swap)))
    return found


def significant(compared: Mapping[str, Mapping[str, Difference]], *, confidence: float) -> dict[tuple[str, str], bool]:
    """Which of all differences, by model and collection, are other than none: Holm's correction over the whole table."""
    cells = [(model, name) for model in sorted(compared) for name in sorted(compared[model])]
    adjusted = holm([compared[model][name].p for model, name in cells])
    return {cell: p <= 1 - confidence + 1e-12 for cell, p in zip(cells, adjusted, strict=True)}


def accepted(against_best: Mapping[str, Difference]) -> bool:
    """Better than the best single model on the mean of all tasks, and on no task significantly worse."""
    mean = sum(d.value for d in against_best.values()) / len(against_best)
    return mean > 0 and all(d.high >= 0 for d in against_best.values())
