"""How the final model behaves under stress: a picture of what was measured along numbers, and all of it in tables."""

from typing import Any

from pipeline.report.gather import Facts
from pipeline.report.pictures import behaviours


def stress(facts: Facts) -> dict[str, Any] | None:
    return {"measured": facts.stress, "picture": behaviours(facts.stress)} if facts.stress else None
