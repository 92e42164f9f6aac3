"""The price of leakage: how much better a model looks on test rows that were dealt at random than on rows without relatives in train.

The two are different test rows (and, for what is trained, two trainings), so their draws are independent and the interval is that of
a difference of two samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.evaluator.comparison import Items
from pipeline.evaluator.items import item_counts
from pipeline.metric import draw_counts, interval


def pairs_of(items: Mapping[str, Items], controls: Mapping[str, Sequence[str]]) -> list[tuple[str, str, str, str]]:
    """``(model, collection, model of the control, collection of the control)``, sorted. ``controls``: by model those of the same
    training on another deal; a baseline answers both deals itself."""
    return [
        (model, name, other, control)
        for model, at in sorted(items.items())
        for name, own in sorted(at.items())
        for other in sorted({model, *controls.get(model, ())} & set(items))
        for control, dealt in sorted(items[other].items())
        if own["deal"] is None and dealt["deal"] is not None and all(own[key] == dealt[key] for key in ("task", "corpus"))
    ]


def price(
    evaluator: Any, own: Mapping[str, Any], control: Mapping[str, Any], *, resamples: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """``control - own`` in the main score, with its interval: draws of whole groups."""
    drawn, value = [], []
    num_groups = min(len(set(items["group"])) for items in (own, control))
    for i, items in enumerate((own, control)):
        value.append(float(evaluator.resampled(items, np.ones((1, len(items["id"])), dtype=np.uint16))[0]))
        counts = draw_counts(len(set(items["group"])), resamples, seed=seed + i)
        drawn.append(evaluator.resampled(items, item_counts(items["group"], counts)))
    low, high = evaluator.lowest - evaluator.highest, evaluator.highest - evaluator.lowest
    if num_groups > 1:
        low, high = interval(drawn[1] - drawn[0], confidence, num_items=num_groups, ends=(low, high))
    return value[1] - value[0], low, high
