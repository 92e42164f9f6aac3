"""Names and paths of `params.yaml` that become part of commands, of folders, or of what a stage replaces."""

import re
from typing import Any


def plain_names(items: dict[str, str]) -> dict[str, str]:
    """DVC puts a name into a command and into paths, and reads what stands behind @ as an item."""
    if wrong := [name for name in items if not re.fullmatch(r"[^\W_][\w.+-]*", name)]:
        raise ValueError(
            f"expected names of letters, digits and . _ + - that begin with a letter or digit (no @, no blank, no / : ,), which are part "
            f"of commands and paths, got {', '.join(map(repr, wrong))}; call them otherwise"
        )
    return items


def own_folders(items: dict[str, str]) -> dict[str, str]:
    """A stage replaces the directory of an expert."""
    for name, place in items.items():
        if not re.fullmatch(r"checkpoints/(experts|controls)(/[^/\\]+)+", place) or ".." in place.split("/"):
            raise ValueError(
                f"expected a directory below checkpoints/experts, where merges look, or checkpoints/controls, which the stage replaces, "
                f"got {place!r} for {name}; write checkpoints/experts/{name}"
            )
    if twice := [place for place in items.values() if list(items.values()).count(place) > 1]:
        raise ValueError(f"expected a directory for each, got {twice[0]!r} for several; give each its own")
    return items


def as_folders(items: dict[str, Any]) -> dict[str, Any]:
    """The rows of a corpus go into a folder of its name."""
    if wrong := [name for name in items if not re.fullmatch(r"[^./\\][^/\\]{0,99}", name)]:
        raise ValueError(
            f"expected names of up to 100 characters without / and \\ that do not begin with a point, as each becomes a folder, got "
            f"{', '.join(map(repr, wrong))}; call them otherwise"
        )
    return items
