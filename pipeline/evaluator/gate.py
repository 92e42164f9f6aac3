"""The gate: may a merge take the place of the best single model?

Two conditions, both on validation rows, and both must hold beyond chance:

* the mean over tasks (a task's score being the mean over its collections) is higher. The mean is drawn as one statistic, and the
  bound is that of the largest deviation among all merges within each draw, so that the best of many equal merges does not pass for
  a better one;
* no task is lost by ``margin`` or more: the lower bound of each task's difference lies above ``-margin``. Rows too few to show that
  let nothing pass.

Groups are drawn whole, and those of one corpus together for all its tasks. Collections whose items are no sample (clustering) have
no part in it.

The rule is our design. Source of the parts: bootstrap of a maximum, White 2000, doi:10.1111/1468-0262.00152, and Romano and Wolf
2005, doi:10.1111/j.1468-0262.2005.00615.x; non-inferiority, Piaggio et al. 2012, doi:10.1001/jama.2012.87802.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluator.comparison import Items, groups_of
from pipeline.metric import draw_counts, expanded_tail


def mean_of_tasks(scores: Mapping[str, float]) -> float:
    """The mean over tasks of the mean over a task's collections; ``scores`` by ``task/corpus``."""
    of_task: dict[str, list[float]] = {}
    for name, score in scores.items():
        of_task.setdefault(name.split("/")[0], []).append(score)
    return sum(sum(found) / len(found) for found in of_task.values()) / len(of_task)


@dataclass(frozen=True, slots=True)
class Bound:
    """A difference to the best single model: as measured, and its lower and upper bound."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Stand:
    """How a merge stands: the ``mean``, each of ``tasks``, and the smallest gain of the mean that these rows could have shown."""

    mean: Bound
    tasks: dict[str, Bound]
    detectable: float
    accepted: bool


def stand(
    evaluators: Mapping[str, Any], single: Items, merges: Mapping[str, Items], *, resamples: int, confidence: float, margin: float,
    task_confidence: float, seed: int,
) -> dict[str, Stand]:  # fmt: skip
    """Of every merge against the best single model.

    ``confidence``: of the two-sided interval of the mean, for all merges together. ``task_confidence``: of the one-sided bound of a
    task. ``margin``: what a merge may lose on a task, as a difference of main scores.
    """
    names = [name for name in sorted(single) if evaluators[name.split("/")[0]].sampled]
    if not names or not merges:
        return {}
    of_task: dict[str, list[str]] = {}
    for name in names:
        of_task.setdefault(name.split("/")[0], []).append(name)
    counts = _counts({name: groups_of(name, single, single) for name in names}, resamples, seed=seed)
    own, own_drawn = _by_task(evaluators, single, of_task, counts)
    values, drawn = {}, {}
    for merge, items in merges.items():
        for name in names:
            groups_of(name, items, single)
        value, at = _by_task(evaluators, items, of_task, counts)
        values[merge], drawn[merge] = value - own, at - own_drawn  # T, T R
    num_groups = {task: sum(len(set(single[name]["group"])) for name in within) for task, within in of_task.items()}
    widest = {task: max(evaluators[task].highest - evaluators[task].lowest, 0.0) for task in of_task}
    mean = _simultaneous(
        {m: float(v.mean()) for m, v in values.items()}, {m: d.mean(0) for m, d in drawn.items()}, (1 - confidence) / 2,
        num_groups=min(num_groups.values()), widest=max(widest.values()),
    )  # fmt: skip
    found: dict[str, Stand] = {}
    for merge in merges:
        tasks = {
            task: _simultaneous(
                {merge: float(values[merge][t])}, {merge: drawn[merge][t]}, 1 - task_confidence,
                num_groups=num_groups[task], widest=widest[task],
            )[merge]
            for t, task in enumerate(of_task)
        }  # fmt: skip
        passed = mean[merge].low > 0 and all(one.low > -margin for one in tasks.values())
        found[merge] = Stand(mean[merge], tasks, mean[merge].value - mean[merge].low, passed)
    return found


def _counts(groups: Mapping[str, list[str]], resamples: int, *, seed: int) -> dict[str, Int[np.ndarray, "R N"]]:
    """How often each item of a collection is in each draw. Corpora are drawn apart, the tasks of one corpus together. A draw that leaves
    a collection without an item is left out."""
    found: dict[str, np.ndarray] = {}
    corpora = sorted({name.partition("/")[2] for name in groups})
    for number, corpus in enumerate(corpora):
        names = [name for name in groups if name.partition("/")[2] == corpus]
        known = sorted({group for name in names for group in groups[name]})
        place = {group: i for i, group in enumerate(known)}
        counts = draw_counts(len(known), resamples, seed=seed + number)
        found |= {name: counts[:, [place[group] for group in groups[name]]] for name in names}
    kept = np.logical_and.reduce([one.any(1) for one in found.values()])
    return {name: one[kept] for name, one in found.items()}


def _by_task(
    evaluators: Mapping[str, Any], items: Items, of_task: Mapping[str, list[str]], counts: Mapping[str, np.ndarray]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T R"]]:
    """Each task's score, and that on each draw."""
    value, drawn = [], []
    for task, names in of_task.items():
        evaluator = evaluators[task]
        whole = [evaluator.resampled(items[name], np.ones((1, counts[name].shape[1]), dtype=np.uint16)) for name in names]
        value.append(float(np.mean(whole)))
        drawn.append(np.mean([evaluator.resampled(items[name], counts[name]) for name in names], axis=0))
    return np.asarray(value), np.stack(drawn)


def _simultaneous(
    value: Mapping[str, float], drawn: Mapping[str, Float[np.ndarray, " R"]], tail: float, *, num_groups: int, widest: float
) -> dict[str, Bound]:
    """Bounds that all hold together but for a share ``tail`` of new samples, on either side."""
    if num_groups < 2:
        return {name: Bound(one, -widest, widest) for name, one in value.items()}
    spread = {name: float(one.std()) for name, one in drawn.items()}
    apart = [(drawn[name] - value[name]) / spread[name] for name in value if spread[name] > 0]
    share = 1 - expanded_tail(tail, num_items=num_groups)
    up = float(np.quantile(np.max(apart, axis=0), share)) if apart else 0.0
    down = float(np.quantile(np.max([-one for one in apart], axis=0), share)) if apart else 0.0
    return {name: Bound(one, one - up * spread[name], one + down * spread[name]) for name, one in value.items()}
