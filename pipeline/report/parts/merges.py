"""The gate: how each merge stands against the best single model on validation rows, and what was asked of it."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.gather import Facts


def merges(facts: Facts) -> dict[str, Any] | None:
    found = facts.verdict
    if not found.merges:
        return None
    one, all_of_them = facts.gated
    return {
        "one": one,
        "all": all_of_them,
        "best_single": found.best_single,
        "tasks": list(next(iter(found.merges.values()))["tasks"]),
        "rows": {name: _row(facts, name, one) for name, one in found.merges.items()},
        "measured": bool(found.kept),
        "task_confidence": facts.limits["task_confidence"],
        "margin": facts.limits["margin"],
        "retention": facts.limits["retention"],
    }


def _row(facts: Facts, name: str, stand: Mapping[str, Any]) -> dict[str, Any]:
    """``failed``: what it was refused for; empty where it was accepted."""
    found, margin = facts.verdict, facts.limits["margin"]
    failed = [] if stand["mean"]["low"] > 0 else ["no gain beyond chance"]
    failed += [f"{task} at risk" for task, one in stand["tasks"].items() if one["low"] <= -margin]
    failed += ["kept too little"] if name in found.forgot else []
    return {
        "differences": [stand["mean"], *stand["tasks"].values()],
        "kept": found.kept.get(name),
        "detectable": stand["detectable"],
        "verdict": f"refused: {', '.join(failed) or 'see above'}" if name in found.refused else "accepted",
    }
