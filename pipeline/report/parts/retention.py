"""What each model gained at home, and what it kept of the model off the shelf elsewhere."""

from typing import Any

from pipeline.evaluator.scores import at_home, averaged, mean
from pipeline.report.gather import Facts
from pipeline.report.pictures import Point, against


def retention(facts: Facts) -> dict[str, Any] | None:
    """A row for each model of which it was measured; ``changes`` of the score on guards need the model off the shelf among the models."""
    measured = {name: one.retention for name, one in facts.scores.items() if one.retention}
    if not measured:
        return None
    texts = sorted({name for one in measured.values() for name in one})
    shelf = facts.before["shelf"]
    gains = _gains(facts, shelf)
    rows = {
        name: {
            "gain": gains.get(name),
            "agreement": [one.get(of) for of in texts],
            "changes": _changes(facts, name, shelf),
            "forgot": name in facts.verdict.forgot,
        }
        for name, one in measured.items()
    }
    points = [
        Point(name, facts.verdict.kept[name], gains[name], name == facts.final)
        for name in rows
        if name in gains and name in facts.verdict.kept
    ]
    return {
        "rows": rows,
        "texts": {name: next(one[name]["texts"] for one in measured.values() if name in one) for name in texts},
        "guards": _guarded(facts, shelf),
        "shelf": shelf,
        "margin": facts.limits["retention"],
        "picture": against(points, facts.limits["retention"]) if len(points) > 1 else "",
        "final": facts.final,
    }


def _gains(facts: Facts, shelf: str | None) -> dict[str, float]:
    """By model, its mean over tasks on test rows less that of the model off the shelf, of those that answer what that answers."""
    if shelf is None:
        return {}
    counted = averaged(facts.evaluators, at_home(facts.scores[shelf].test, facts.guards))
    if not counted:
        return {}
    whole = {name: one.test for name, one in facts.scores.items() if all(at in one.test for at in counted)}
    return {name: mean(test, counted) - mean(facts.scores[shelf].test, counted) for name, test in whole.items()}


def _guarded(facts: Facts, shelf: str | None) -> list[str]:
    return [name for name, one in facts.scores[shelf].test.items() if one["corpus"] in facts.guards] if shelf else []


def _changes(facts: Facts, model: str, shelf: str | None) -> list[float | None]:
    """Of the score on each guard, against the model off the shelf."""
    own = facts.scores[model].test
    return [
        own[at]["value"] - facts.scores[str(shelf)].test[at]["value"] if at in own else None for at in _guarded(facts, shelf)
    ]
