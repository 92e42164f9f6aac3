"""Main scores of the tasks of MTEB that were run."""

from typing import Any

from pipeline.report.gather import Facts


def mteb(facts: Facts) -> dict[str, Any] | None:
    tasks = sorted({task for scores in facts.mteb.values() for task in scores})
    if not tasks:
        return None
    rows = {model: [scores.get(task) for task in tasks] for model, scores in facts.mteb.items() if scores}
    return {"tasks": tasks, "rows": rows, "final": facts.final}
