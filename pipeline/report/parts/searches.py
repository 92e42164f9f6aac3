"""How merges found their coefficients: the losses, a few steps of the way, and the picture of the landscape."""

from typing import Any

from pipeline.report.gather import Facts, Points

STEPS = 5  # shown of each way, spread evenly


def searches(facts: Facts) -> dict[str, Any] | None:
    if not facts.searches:
        return None
    return {
        "searches": [
            {
                "merge": one.merge,
                "experts": one.experts,
                "held_out": one.held_out,
                "columns": [column for column in one.points[0] if column.startswith(("coefficient/", "norm"))],
                "points": _few(one.points),
                "picture": one.picture,
            }
            for one in facts.searches
        ]
    }


def _few(points: Points) -> Points:
    last = len(points) - 1
    return [points[i] for i in sorted({round(i * last / (STEPS - 1)) for i in range(STEPS)})]
