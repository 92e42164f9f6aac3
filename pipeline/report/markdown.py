"""Names and texts in Markdown, shown letter by letter: none begins a tag, a link or another cell of a table."""

import re
from typing import Any

from jinja2 import pass_eval_context


@pass_eval_context
def lettered(context: Any, value: Any) -> Any:
    """What a template puts in the place of ``value``, where it does not escape by itself, as in HTML. `safe` leaves it as it is."""
    if context.autoescape or not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    line = re.sub(r"\s*[\r\n]\s*", " ", value)
    return line.replace("<", "&lt;").replace("|", r"\|").replace("](", r"]\(")
