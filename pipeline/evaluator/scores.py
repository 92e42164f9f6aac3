"""Scores as records: what was scored, by which measure, how high, how sure.

`data/metrics/evaluate/<model>.json` holds, by split and label, entries of `entry`, and under `retention`, by set of texts, what the model
kept of the model off the shelf (`pipeline.evaluator.retention`); `data/evaluated/<model>.json` the items behind them,
with the same identity. Labels (``task/corpus``) are for people: nobody takes them apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.checkpoint import read_json
from pipeline.corpus.collection import Collection
from pipeline.evaluator.items import grouped, summary
from pipeline.spelling import nearest
from pipeline.task import KINDS, kind_of

Entries = Mapping[str, Mapping[str, Any]]  # by label


def by_kind(evaluators: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluators by the kind of task that they score; ValueError where two score one kind."""
    found: dict[str, Any] = {}
    named: dict[str, str] = {}
    for name, evaluator in evaluators.items():
        if evaluator.kind not in KINDS:
            raise ValueError(
                f"evaluate.evaluators.{name}: {evaluator.kind!r} is no kind of task{nearest(evaluator.kind, KINDS)}"
            )
        if evaluator.kind in found:
            raise ValueError(
                f"evaluate.evaluators: {named[evaluator.kind]} and {name} both score tasks of kind {evaluator.kind}; set one to null"
            )
        found[evaluator.kind], named[evaluator.kind] = evaluator, name
    return found


def identity(collection: Collection) -> dict[str, str | None]:
    """What a record is of."""
    return {"task": collection.task, "kind": kind_of(collection).name, "corpus": collection.corpus, "deal": collection.deal}


def scored(
    evaluator: Any,
    collection: Collection,
    found: tuple[Mapping[str, float], Mapping[str, Any]],
    section: Mapping[str, Any],
    seed: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(entry, items)`` of what ``evaluator`` found on ``collection``. ``section`` says how intervals are drawn.

    An entry holds the identity, ``metric``, ``value`` and its ``interval``, how many items and groups there are, and under ``others``
    whatever else was measured.
    """
    scores, answers = found
    items = {**identity(collection), **grouped(answers, collection)}
    spread = summary(evaluator, items, section, seed)
    others = {name: value for name, value in scores.items() if name != evaluator.main}
    interval = {"low": spread.pop("low"), "high": spread.pop("high")}
    value = scores[evaluator.main]
    return {
        **identity(collection),
        "metric": evaluator.main,
        "value": value,
        "interval": interval,
        "others": others,
        **spread,
    }, items


class Scores:
    """The scores of one model: ``test`` and ``validation`` by label, ``retention`` by set of texts; empty where it was not measured."""

    def __init__(self, found: Mapping[str, Entries]) -> None:
        self.validation, self.test = found["validation"], found["test"]
        self.retention = found.get("retention", {})

    @classmethod
    def read(cls, path: Path) -> "Scores":
        return cls(read_json(path))

    def main(self) -> dict[str, float]:
        """The main score on test rows by label."""
        return {name: one["value"] for name, one in self.test.items()}


def at_home(entries: Entries, guards: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Those of the corpora that models are made for. A guard is evaluated for what was kept, and is in no mean and no gate."""
    return {name: one for name, one in entries.items() if one["corpus"] not in guards}


def averaged(evaluators: Mapping[str, Any], entries: Entries) -> list[str]:
    """Labels of the collections that a mean is taken over, sorted: of the corpora's own split, and whose items are a sample (of
    clusterings, say, they are none); where there is no sample, all of the own split."""
    own = sorted(name for name, one in entries.items() if one["deal"] is None)
    return [name for name in own if evaluators[entries[name]["kind"]].sampled] or own


def mean(entries: Entries, names: Sequence[str]) -> float:
    """The mean over tasks of the mean over a task's collections ``names``; ValueError where one of these was not scored."""
    if missing := [name for name in names if name not in entries]:
        raise ValueError(f"no score on {', '.join(missing)}; scored were {', '.join(entries) or 'none'}")
    of_task: dict[str, list[float]] = {}
    for name in names:
        of_task.setdefault(entries[name]["task"], []).append(entries[name]["value"])
    return sum(sum(found) / len(found) for found in of_task.values()) / len(of_task)


def means(evaluators: Mapping[str, Any], models: Mapping[str, Entries]) -> dict[str, float]:
    """By model `mean` over what all of them were scored on. ValueError where they were scored on unlike collections, or on none."""
    names = {model: averaged(evaluators, entries) for model, entries in models.items()}
    first = next(iter(names), "")
    for model, own in names.items():
        if not own:
            raise ValueError(
                f"{model} has no score on validation rows, so it cannot be chosen by them; raise curate.split.validation, or take it out "
                f"of final.candidates"
            )
        if own != names[first]:
            raise ValueError(
                f"{model} was scored on {', '.join(own)}, {first} on {', '.join(names[first])}; only models of the same tasks can be "
                f"compared: take one of them out of `models`, or of final.candidates"
            )
    return {model: mean(entries, names[model]) for model, entries in models.items()}


def unlike(entries: Entries, others: Iterable[str]) -> list[str]:
    """Tasks of ``entries`` that ``others`` do not have, sorted."""
    return sorted({one["task"] for one in entries.values()} - set(others))
