"""Words for what is wrong: the known word that a misspelt one is nearest to, and what a value was expected to be."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

EXPECTED = {
    "dict_type": "lines of `name: value`",
    "mapping_type": "lines of `name: value`",
    "model_type": "lines of `name: value`",
    "list_type": "a list, as [a, b]",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "one of {expected}",
}


def nearest(word: str, known: Iterable[object]) -> str:
    """`` (did you mean 'x'?)`` for the closest of ``known``, or nothing where none is close."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def wanted(problem: Mapping[str, Any]) -> str:
    """What pydantic expected in the place of a ``problem``, as a person writes it in YAML."""
    words = EXPECTED.get(problem["type"])
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return problem["msg"] if words is None else f"expected {words.format(**problem.get('ctx', {}))}"
