"""The gate: may a merge, or a derived model, take the place of the best single model? Both are called merges here.

Two conditions, both on validation rows, and both must hold beyond chance:

* the mean over tasks (a task's score being the mean over its collections) is higher. The mean is drawn as one statistic, and the
  bound is that of the largest deviation among all merges within each draw, so that the best of many equal merges does not pass for
  a better one;
* no task is lost by ``margin`` or more: the lower bound of each task's difference lies above ``-margin``. Rows too few to show that
  let nothing pass.

Groups are drawn whole, and those that the source names together for all tasks of a corpus. A bound is never nearer than that of a
t distribution with as many groups. Where answers differ in few groups, their draws know nothing of a rare large loss: one more group
is then reckoned with, which loses as much as any differs (all there is to lose, where none does).
Collections whose items are no sample (clustering), and controls, have no part in it.

The rule is our design. Source of the parts: bootstrap of a maximum, White 2000, doi:10.1111/1468-0262.00152, and Romano and Wolf
2005, doi:10.1111/j.1468-0262.2005.00615.x; non-inferiority, Piaggio et al. 2012, doi:10.1001/jama.2012.87802.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluator.comparison import Items, groups_of
from pipeline.metric import draw_counts, expanded_t, expanded_tail

FEW = 30  # groups that differ, fewer than that and than half of all: a normal distribution is no guide to rare losses
_ROUNDS = 20  # of draws, to have enough that leave no collection empty


def weighed(evaluators: Mapping[str, Any], items: Items) -> list[str]:
    """Labels of the collections that the gate looks at, sorted."""
    return sorted(name for name, one in items.items() if one["deal"] is None and evaluators[one["kind"]].sampled)


@dataclass(frozen=True, slots=True)
class Bound:
    """A difference to the best single model: as measured, and its lower and upper bound."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Stand:
    """How a merge stands: the ``mean``, each of ``tasks``, and the smallest gain of the mean that these rows could have shown.
    ``differs``: it answers something otherwise than the best single model."""

    mean: Bound
    tasks: dict[str, Bound]
    detectable: float
    differs: bool
    accepted: bool


def _check_alike(names: list[str], merges: Mapping[str, list[str]]) -> None:
    for merge, own in merges.items():
        if own != names:
            raise ValueError(
                f"{merge} was evaluated on {', '.join(own) or 'nothing'}, the best single model on {', '.join(names) or 'nothing'}; "
                f"only models of the same tasks can be compared: take one of them out of `models`"
            )


def _above(
    judges: Mapping[str, Any],
    single: Items,
    merges: Mapping[str, Items],
    of_task: Mapping[str, list[str]],
    resamples: int,
    seed: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """By merge, how far it is above the single model on each task: as measured (T), and on each draw of groups (T, R)."""
    names = [name for within in of_task.values() for name in within]
    corpus = {name: single[name]["corpus"] for name in names}
    counts = _counts({name: groups_of(name, single, single) for name in names}, corpus, resamples, seed=seed)
    own, own_drawn = _by_task(judges, single, of_task, counts)
    values, drawn = {}, {}
    for merge, items in merges.items():
        for name in names:
            groups_of(name, items, single)
        value, at = _by_task(judges, items, of_task, counts)
        values[merge], drawn[merge] = value - own, at - own_drawn
    return values, drawn


def stand(
    evaluators: Mapping[str, Any],
    single: Items,
    merges: Mapping[str, Items],
    *,
    resamples: int,
    confidence: float,
    margin: float,
    task_confidence: float,
    seed: int,
) -> dict[str, Stand]:
    """Of every merge against the best single model.

    ``confidence``: of the two-sided interval of the mean, for all merges together. ``task_confidence``: of the one-sided bound of a
    task. ``margin``: what a merge may lose on a task, as a difference of main scores. ValueError where a merge has other collections.
    """
    names = weighed(evaluators, single)
    _check_alike(names, {merge: weighed(evaluators, items) for merge, items in merges.items()})
    if not names or not merges:
        return {}
    of_task: dict[str, list[str]] = {}
    for name in names:
        of_task.setdefault(single[name]["task"], []).append(name)
    judges = {task: evaluators[single[within[0]]["kind"]] for task, within in of_task.items()}
    values, drawn = _above(judges, single, merges, of_task, resamples, seed)
    num_groups = {task: min(len(set(single[name]["group"])) for name in within) for task, within in of_task.items()}
    widest = {task: judge.highest - judge.lowest for task, judge in judges.items()}
    means, of_draws = {m: float(v.mean()) for m, v in values.items()}, {m: d.mean(0) for m, d in drawn.items()}
    limits = {"num_groups": min(num_groups.values()), "widest": max(widest.values()), "rare": dict.fromkeys(merges, 0.0)}
    mean = _simultaneous(means, of_draws, (1 - confidence) / 2, **limits)

    def on_task(merge: str, t: int, task: str) -> Bound:
        rare = {merge: _rare_loss(judges[task], merges[merge], single, of_task[task])}
        own, at = {merge: float(values[merge][t])}, {merge: drawn[merge][t]}
        groups = num_groups[task]
        return _simultaneous(own, at, 1 - task_confidence, num_groups=groups, widest=widest[task], rare=rare)[merge]

    found: dict[str, Stand] = {}
    for merge in merges:
        tasks = {task: on_task(merge, t, task) for t, task in enumerate(of_task)}
        differs = bool(drawn[merge].any())
        passed = mean[merge].low > 0 and all(one.low > -margin for one in tasks.values())
        found[merge] = Stand(mean[merge], tasks, mean[merge].value - mean[merge].low, differs, passed)
    return found


def _rare_loss(evaluator: Any, items: Items, single: Items, names: list[str]) -> float:
    """What one more group might lose, where so few differ that draws cannot tell; 0 where enough do."""
    largest = 0.0
    for name in names:
        groups = np.asarray(single[name]["group"])
        differ = set(groups[evaluator.differing(items[name], single[name])].tolist())
        if len(differ) < min(FEW, len(set(groups.tolist())) / 2):
            largest = max(largest, evaluator.rare_loss(items[name], single[name]))
    return largest


def _counts(
    groups: Mapping[str, list[str]], corpus: Mapping[str, str], resamples: int, *, seed: int
) -> dict[str, Int[np.ndarray, "R N"]]:
    """How often each item of a collection is in each draw. Corpora are drawn apart, and so are groups that only share a text; those
    that the source names are drawn for all tasks of their corpus together. Draws that leave a collection empty are made anew."""
    named = {name: [group if group.startswith("group ") else f"{name} {group}" for group in of] for name, of in groups.items()}
    kept: dict[str, list[np.ndarray]] = {name: [] for name in groups}
    enough = 0
    for again in range(_ROUNDS):
        found: dict[str, np.ndarray] = {}
        for number, one in enumerate(sorted(set(corpus.values()))):
            names = [name for name in groups if corpus[name] == one]
            known = sorted({group for name in names for group in named[name]})
            place = {group: i for i, group in enumerate(known)}
            counts = draw_counts(len(known), resamples, seed=seed + 1000 * again + number)
            found |= {name: counts[:, [place[group] for group in named[name]]] for name in names}
        whole = np.logical_and.reduce([one.any(1) for one in found.values()])
        for name, one in found.items():
            kept[name].append(one[whole])
        enough += int(whole.sum())
        if enough >= resamples:
            break
    return {name: np.concatenate(parts)[:resamples] for name, parts in kept.items()}


def _by_task(
    judges: Mapping[str, Any], items: Items, of_task: Mapping[str, list[str]], counts: Mapping[str, np.ndarray]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T R"]]:
    """Each task's score, and that on each draw."""
    value, drawn = [], []
    for task, names in of_task.items():
        evaluator = judges[task]
        whole = [evaluator.resampled(items[name], np.ones((1, counts[name].shape[1]), dtype=np.uint16)) for name in names]
        value.append(float(np.mean(whole)))
        drawn.append(np.mean([evaluator.resampled(items[name], counts[name]) for name in names], axis=0))
    return np.asarray(value), np.stack(drawn)


def _simultaneous(
    value: Mapping[str, float],
    drawn: Mapping[str, Float[np.ndarray, " R"]],
    tail: float,
    *,
    num_groups: int,
    widest: float,
    rare: Mapping[str, float],
) -> dict[str, Bound]:
    """Bounds that all hold together but for a share ``tail`` of new samples, on either side. ``rare``: what one more group loses."""
    if num_groups < 2 or not all(len(one) for one in drawn.values()):
        return {name: Bound(one, -widest, widest) for name, one in value.items()}
    spread = {name: float(one.std()) for name, one in drawn.items()}
    apart = [(drawn[name] - value[name]) / spread[name] for name in value if spread[name] > 0]
    share, least = 1 - expanded_tail(tail, num_items=num_groups), expanded_t(tail, num_items=num_groups)
    up = max(least, float(np.quantile(np.max(apart, axis=0), share))) if apart else least
    down = max(least, float(np.quantile(np.max([-one for one in apart], axis=0), share))) if apart else least
    found = {}
    for name, one in value.items():
        low = one - up * spread[name]
        if rare[name]:  # the mean and its spread with one more group, num_groups + 1 in all
            shifted = (num_groups * one - rare[name]) / (num_groups + 1)
            wider = np.hypot(spread[name], (one + rare[name]) / (num_groups + 1))
            low = min(low, shifted - up * float(wider))
        found[name] = Bound(one, low, one + down * spread[name])
    return found
