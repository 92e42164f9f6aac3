"""What the final model loses in its smaller and faster forms."""

from typing import Any

from pipeline.report.columns import columns
from pipeline.report.gather import Facts


def forms(facts: Facts) -> dict[str, Any] | None:
    if not facts.forms:
        return None
    measured = {name for form in facts.forms.values() for name in form.get("test", {})}
    heads = [head for head in columns(facts) if head.name in measured or not measured]
    rows = {
        name: {
            "vector_bytes": form["vector_bytes"],
            "farthest": form.get("farthest"),
            "changes": [form["test"][head.name] for head in heads] if "test" in form else [],
        }
        for name, form in facts.forms.items()
    }
    return {"heads": heads, "rows": rows}
