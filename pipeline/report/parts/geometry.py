"""How the vectors of each model lie on the sphere, by collection."""

from typing import Any

from pipeline.report.gather import Facts

HEADS = ("alignment", "uniformity", "rankme", "singular_entropy", "condition_number", "isotropy")


def geometry(facts: Facts) -> dict[str, Any] | None:
    rows: dict[str, dict[str, list[float | None]]] = {}
    for model, measured in facts.geometry.items():
        for name, one in measured.items():
            if one:
                rows.setdefault(name, {})[model] = [one.get(head) for head in HEADS]
    return {"heads": HEADS, "rows": dict(sorted(rows.items()))} if rows else None
