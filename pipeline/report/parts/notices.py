"""What the run left out, cut or did not learn, as stage final told it."""

from typing import Any

from pipeline.report.gather import Facts


def notices(facts: Facts) -> dict[str, Any] | None:
    return {"lines": facts.verdict.notices} if facts.verdict.notices else None
