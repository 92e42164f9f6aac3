"""What the tables of scores have in common: a column for each collection of test rows, and what differs beyond chance there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.evaluator.comparison import exchanges_needed, p_values, significant
from pipeline.evaluator.scores import Entries
from pipeline.report.gather import Facts
from pipeline.task import KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """``name`` is the label of the collection, ``of`` its corpus and deal; ``noun`` says what its ``num_items`` are."""

    name: str
    task: str
    kind: str
    of: str
    metric: str
    meaning: str
    noun: str
    num_items: int
    num_groups: int


def columns(facts: Facts) -> list[Column]:
    """Sorted by label."""
    known = {name: one for scores in facts.scores.values() for name, one in scores.test.items()}
    return [
        Column(
            name=name,
            task=one["task"],
            kind=one["kind"],
            of=place(one),
            metric=one["metric"],
            meaning=KINDS[one["kind"]].metric_meaning,
            noun=KINDS[one["kind"]].items,
            num_items=one["num_items"],
            num_groups=one["num_groups"],
        )
        for name, one in sorted(known.items())
    ]


def place(record: Mapping[str, Any]) -> str:
    """The corpus of a record and, if it is not the corpus' own, the deal of its rows."""
    return " @ ".join(filter(None, (record["corpus"], record["deal"])))


def marks(facts: Facts) -> dict[tuple[str, str], str]:
    """By model and collection: better or worse than the final model on test, by a permutation test with Holm's correction."""
    own, confidence, final = facts.items[facts.final], facts.limits["confidence"], facts.final
    asked = {model: {name: at[name] for name in at if name in own} for model, at in facts.items.items() if model != final}
    cells = _cells(facts.evaluators, asked.values())
    exchanges = max(facts.limits["resamples"], exchanges_needed(cells, confidence=confidence))
    found: dict[tuple[str, str], float] = {}
    for model, at in asked.items():
        p = p_values(facts.evaluators, at, own, exchanges=exchanges, seed=facts.seed)
        found |= {(model, name): value for name, value in p.items()}
    return {
        (model, name): _than(facts.scores[model].test[name], facts.scores[final].test[name])
        for (model, name), sure in significant(found, confidence=confidence).items()
        if sure
    }


def _cells(evaluators: Mapping[str, Any], asked: Iterable[Entries]) -> int:
    return sum(evaluators[one["kind"]].sampled for at in asked for one in at.values())


def _than(entry: Mapping[str, Any], final: Mapping[str, Any]) -> str:
    return "better" if entry["value"] > final["value"] else "worse"
