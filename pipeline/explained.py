"""What is wrong with a section, in words: the key, what is known there, and what was found."""

import re
from typing import Any

from pydantic import BaseModel

from pipeline.spelling import nearest, wanted

COMPOSED = "data/config.yaml"  # which nobody edits


def explained(shape: type[BaseModel], raw: Any, problem: Any, where: str, below: str) -> str:
    """A line for one ``problem`` that pydantic found in ``raw``, which stands in the file ``where`` under the path ``below``."""
    place = [
        str(part) for part in problem["loc"] if not re.match(r"(list|dict)\[", str(part))
    ]  # of several types, which was tried
    path = ".".join([*filter(None, [below]), *place]) or "the whole file"
    *parents, last = problem["loc"] or ("",)
    if problem["type"] in ("extra_forbidden", "missing"):
        known = _fields(shape, parents)
        if problem["type"] == "missing":
            return f"{where}: {path} is missing"
        return f"{where}: unknown key {path}{nearest(str(last), known)}; keys there: {', '.join(known)}"
    written = f"; write it under `set` in params.yaml: {{{path}: ...}}" if where == COMPOSED else ""
    return f"{where}: {path}: {wanted(problem)}, got {problem['input']!r}{written}"


def _fields(shape: Any, path: list[Any]) -> list[str]:
    """Field names of the model that stands at ``path`` inside ``shape``."""
    for key in path:
        if isinstance(shape, type) and issubclass(shape, BaseModel) and key in shape.model_fields:
            shape = shape.model_fields[key].annotation
        arguments = getattr(shape, "__args__", ())
        models = [a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)]
        if models and not (isinstance(shape, type) and issubclass(shape, BaseModel)):
            shape = models[0]
    return list(shape.model_fields) if isinstance(shape, type) and issubclass(shape, BaseModel) else []
