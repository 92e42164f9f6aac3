"""`encoder.yaml`: what an encoder directory says that sentence-transformers has no place for.

The directory may be anybody's, so the file holds values alone: nothing in it is resolved, and the one node that it may hold is an adapter.
"""

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.limits import parsed_yaml
from pipeline.spelling import wanted

SETTINGS = "encoder.yaml"
ADAPTERS = "pipeline.adapter."


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Scalar: TypeAlias = bool | int | float | str


class Prompts(Closed):
    pooled: bool
    texts: dict[str, dict[Literal["query", "document"], str]]


class Settings(Closed):
    max_length_tokens: int | None = Field(default=None, gt=2)
    prompts: Prompts | None = None
    adapter: dict[str, Scalar | list[Scalar] | None] | None = None


def settings_of(directory: Path) -> dict[str, Any]:
    """The keyword arguments of `pipeline.encoder.encoder.Encoder` that ``directory`` names. ValueError where it names anything else."""
    file = directory / SETTINGS
    if not file.is_file():
        return {}
    try:
        found = Settings.model_validate(parsed_yaml(file)).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(
            f"{file}: {where}: {wanted(first)}, got {str(first['input'])[:100]!r}; it holds "
            f"{', '.join(Settings.model_fields)} and nothing else: take the file of this model, or remove it"
        ) from None
    adapter = found.get("adapter") or {}
    target = str(adapter.get("_target_", ADAPTERS))
    if not target.startswith(ADAPTERS):
        raise ValueError(f"{file}: adapter._target_: expected a name below {ADAPTERS[:-1]}, got {target!r}; take out the line")
    if "${" in str(adapter):
        raise ValueError(
            f"{file}: adapter: expected plain values, found ${{...}}, which is not resolved here; write what it stands for"
        )
    return found
