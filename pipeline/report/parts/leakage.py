"""What a random split would have shown: trainings on the run's own split beside the same trainings on rows dealt at random."""

from collections.abc import Mapping
from typing import Any

from pipeline.evaluator.price import pairs_of, price
from pipeline.evaluator.scores import Entries
from pipeline.report.columns import place
from pipeline.report.gather import Facts
from pipeline.report.pictures import Beside, beside
from pipeline.task import KINDS


def leakage(facts: Facts) -> dict[str, Any] | None:
    """None where no model has such a twin (`experts: {<expert>_random: ...}`). Complexes have a part of their own."""
    limits = {name: facts.limits[name] for name in ("resamples", "confidence")} | {"seed": facts.seed}
    test: dict[str, Entries] = {
        model: {name: one for name, one in at.items() if _counted(facts, one["kind"])} for model, at in facts.items.items()
    }
    rows, drawn = [], []
    for model, name, other, dealt in pairs_of(test, facts.controls):
        own, random = facts.scores[model].test[name], facts.scores[other].test[dealt]
        found = price(facts.evaluators[own["kind"]], test[model][name], test[other][dealt], **limits)
        noun = KINDS[own["kind"]].items
        rows.append(
            {
                "model": model, "task": own["task"], "of": place(own), "metric": own["metric"], "own": own, "random": random,
                "price": found, "rows": f"{own['num_items']} and {random['num_items']} {noun}", "trained": other != model,
            }
        )  # fmt: skip
        drawn.append(Beside(f"{model}: {own['task']}", _interval(own), _interval(random)))
    if not any(row["trained"] for row in rows):
        return None
    return {"rows": rows, "confidence": facts.limits["confidence"], "picture": beside(drawn), "final": facts.final}


def _counted(facts: Facts, kind: str) -> bool:
    return facts.evaluators[kind].sampled and not getattr(facts.evaluators[kind], "predicts", False)


def _interval(one: Mapping[str, Any]) -> tuple[float, float, float]:
    return one["value"], one["interval"]["low"], one["interval"]["high"]
