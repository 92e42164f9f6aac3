"""Before and after: the model off the shelf, the baselines and the final model, and whether that is better."""

from typing import Any

from pipeline.evaluator.before import table
from pipeline.report.gather import Facts


def before(facts: Facts) -> dict[str, Any]:
    found = facts.before
    heads, *rows = table(found, facts.limits["confidence"])
    return {
        "sentence": found["sentence"],
        "heads": heads,
        "rows": rows,
        "final": [len(found["rows"]) - 1],
        "confidence": facts.limits["confidence"],
        "tokens": facts.evaluated_tokens,
    }
