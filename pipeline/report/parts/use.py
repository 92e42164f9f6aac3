"""How the final model is loaded."""

from typing import Any

from pipeline.report.gather import FINAL, Facts


def use(facts: Facts) -> dict[str, Any]:
    return {"path": str(FINAL)}
