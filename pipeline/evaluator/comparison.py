"""Is model A better than model B on the same items? Paired bootstrap and permutation test.

Items of one group (a module family, a PDB entry, rows with one text) are drawn and exchanged together: they are no independent
evidence of one another.

Source: Efron and Tibshirani 1993, ch. 15 and 16; for retrieval: Sakai 2006, doi:10.1145/1148170.1148261.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluator.items import item_counts
from pipeline.metric import draw_counts, exchange_p, holm, interval

Items = Mapping[str, Mapping[str, Any]]  # by label: the identity of a collection, and what an evaluator's `resampled` reads


@dataclass(frozen=True, slots=True)
class Difference:
    """``a - b`` in the main score as measured, and the interval of the paired draws."""

    value: float
    low: float
    high: float


def differences(
    evaluators: Mapping[str, Any], a: Items, b: Items, *, resamples: int, confidence: float, seed: int
) -> dict[str, Difference]:
    """For every collection, by label; ``evaluators`` by kind. Both models were evaluated on the same items in the same order.

    From a single group, or from items that are no sample, no interval can be drawn: it then holds all that a difference can be.
    """
    found: dict[str, Difference] = {}
    for name in sorted(a):
        evaluator, groups = evaluators[a[name]["kind"]], groups_of(name, a, b)
        whole = np.ones((1, len(groups)), dtype=np.uint16)
        value = float((evaluator.resampled(a[name], whole) - evaluator.resampled(b[name], whole))[0])
        num_groups = len(set(groups))
        high = evaluator.highest - evaluator.lowest
        low = -high
        if evaluator.sampled and num_groups > 1:
            counts = item_counts(groups, draw_counts(num_groups, resamples, seed=seed))
            drawn = evaluator.resampled(a[name], counts) - evaluator.resampled(b[name], counts)
            low, high = interval(drawn, confidence, num_items=num_groups, ends=(low, high))
        found[name] = Difference(value, low, high)
    return found


def p_values(evaluators: Mapping[str, Any], a: Items, b: Items, *, exchanges: int, seed: int) -> dict[str, float]:
    """For every collection whose items are a sample: how often exchanges of the two models' answers give as large a difference.

    Exact where up to 12 groups differ; of more at most ``exchanges`` are drawn.
    """
    found: dict[str, float] = {}
    for name in sorted(a):
        evaluator, groups = evaluators[a[name]["kind"]], groups_of(name, a, b)
        if not evaluator.sampled:
            continue
        names, group = np.unique(groups, return_inverse=True)
        differ = np.unique(group[evaluator.differing(a[name], b[name])])
        place = np.full(len(names), len(differ))  # of a group that does not differ: a last column, never exchanged
        place[differ] = np.arange(len(differ))

        def exchanged(
            swap: np.ndarray, name: str = name, evaluator: Any = evaluator, at: np.ndarray = place[group]
        ) -> np.ndarray:
            return evaluator.exchanged(a[name], b[name], np.hstack([swap, np.zeros((len(swap), 1), dtype=bool)])[:, at])

        found[name] = exchange_p(exchanged, len(differ), exchanges, seed=seed)
    return found


def exchanges_needed(cells: int, *, confidence: float) -> int:
    """So many that Holm's smallest step over ``cells`` comparisons can be reached with room: 20 exchanges lie beyond it."""
    return math.ceil(20 * cells / (1 - confidence))


def significant(p: Mapping[tuple[str, str], float], *, confidence: float) -> dict[tuple[str, str], bool]:
    """Which of all differences, by model and collection, are other than none: Holm's correction over the whole table."""
    cells = sorted(p)
    adjusted = holm([p[cell] for cell in cells])
    return {cell: one <= 1 - confidence + 1e-12 for cell, one in zip(cells, adjusted, strict=True)}


def groups_of(name: str, a: Items, b: Items) -> list[str]:
    """The group of each item; AssertionError where the two models saw different items."""
    assert a[name]["id"] == b[name]["id"], f"{name}: the two models saw different items"
    return list(a[name]["group"])
