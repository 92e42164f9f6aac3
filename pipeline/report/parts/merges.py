"""How each merge stands against the best single model on validation rows."""

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
        "rows": {name: [one["mean"], *one["tasks"].values()] for name, one in found.merges.items()},
        "refused": found.refused,
        "task_confidence": facts.limits["task_confidence"],
        "margin": facts.limits["margin"],
    }
