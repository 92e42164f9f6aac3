"""The loss of each training over its steps."""

from typing import Any

from pipeline.report.gather import Facts
from pipeline.report.pictures import losses


def curves(facts: Facts) -> dict[str, Any] | None:
    return {"picture": losses(facts.curves)} if facts.curves else None
