"""What was made from what, as the provenance of each model says."""

from typing import Any

from pipeline.report.gather import FINAL, Facts
from pipeline.report.pictures import graph


def origins(facts: Facts) -> dict[str, Any] | None:
    if not facts.made:
        return None
    hashes = {name: one.sha256 for name, one in facts.made.items()}
    edges = []
    for name, one in facts.made.items():
        for source, hashed in one.inputs.items():
            edges.append((source, name))
            hashes.setdefault(source, hashed)
    chosen = facts.models[facts.final].path
    if chosen in hashes:
        edges.append((chosen, str(FINAL)))
        hashes[str(FINAL)] = hashes[chosen]
    return {"picture": graph(edges, hashes, final=str(FINAL))}
