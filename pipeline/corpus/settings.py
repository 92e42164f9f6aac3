"""What a person wrote about a source: which columns play which role, the task and the splits."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

from pipeline.corpus.row import SPLITS, Split
from pipeline.spelling import nearest

ROLES = (
    "query",
    "document",
    "score",
    "group",
    "split",
    "query_id",
    "document_id",
    "negative",
    "negative_id",
    "conversation",
)

Columns: TypeAlias = Mapping[str, str | Sequence[str] | None]


T = TypeVar("T")


def checked_columns(columns: Mapping[str, T], *, required: Sequence[str], known: Sequence[str]) -> dict[str, T | None]:
    """Role -> column for every role of ``known``; a role that is left out has no column."""
    for role in columns:
        if role not in known:
            raise ValueError(
                f"columns maps the unknown role {role!r}, expected some of {', '.join(known)}{nearest(role, known)}"
            )
    for role in required:
        if not columns.get(role):
            raise ValueError(
                f"columns must name the column of {role!r}, got {columns.get(role)!r}; write {role}: <its name> "
                "(a name that begins with # needs quotes, or YAML takes it for a comment)"
            )
    return {role: columns.get(role) for role in known}


def checked_split(split: str | None) -> Split | None:
    """``split`` itself, if it is None or one that `Row` knows."""
    for known in SPLITS:
        if split == known:
            return known
    if split is None:
        return None
    raise ValueError(f"split must be null or one of {', '.join(SPLITS)}, got {split!r}{nearest(split, SPLITS)}")


def checked_splits(name: str, parts: Mapping[str, str | Sequence[str] | None]) -> list[tuple[Split, str]]:
    """(our split, name of a part) in the order of `SPLITS`; ``parts`` maps a split to one name, several or null."""
    for split in parts:
        if split not in SPLITS:
            raise ValueError(
                f"{name} maps the unknown split {split!r}, expected some of {', '.join(SPLITS)}{nearest(split, SPLITS)}"
            )
    pairs: list[tuple[Split, str]] = []
    for split in SPLITS:
        part = parts.get(split)
        for each in [part] if isinstance(part, str) else part or []:
            pairs.append((split, each))
    if not pairs:
        raise ValueError(f"{name} must name at least one split, got {dict(parts)}; write for example train: train")
    return pairs
