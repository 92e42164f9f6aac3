"""What the final model loses in its smaller and faster forms."""

from typing import Any

from pipeline.report.columns import columns
from pipeline.report.gather import Facts
from pipeline.report.pictures import Sized, curve


def forms(facts: Facts) -> dict[str, Any] | None:
    if not facts.forms:
        return None
    measured = {name for form in facts.forms.values() for name in form.get("test", {})}
    heads = [head for head in columns(facts) if head.name in measured or not measured]
    rows = {
        name: {
            "vector_bytes": form["vector_bytes"],
            "shared_bytes": form.get("shared_bytes"),
            "farthest": form.get("farthest"),
            "changes": [form["test"][head.name] for head in heads] if "test" in form else [],
        }
        for name, form in facts.forms.items()
    }
    drawn = {
        head.name: [
            Sized(name, form["vector_bytes"], *(form["test"][head.name][key] for key in ("change", "low", "high")))
            for name, form in facts.forms.items()
            if head.name in form.get("test", {})
        ]
        for head in heads
    }
    sizes = {one.bytes for forms in drawn.values() for one in forms}
    return {"heads": heads, "rows": rows, "picture": curve(drawn) if len(sizes) > 1 else ""}
