"""Names and paths of `params.yaml` that become part of commands, of folders, or of what a stage replaces."""

import re
from typing import Any

FOLDER = r"[^./\\\x00-\x1f\x7f\ud800-\udfff][^/\\\x00-\x1f\x7f\ud800-\udfff]{0,99}"
MOST_BYTES = 240  # of a name: file systems take 255, and a hidden one beside it is longer


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
        if not re.fullmatch(r"checkpoints/(experts|controls)(/[^/\\\x00-\x1f]+)+", place) or {".", ".."} & set(
            place.split("/")
        ):
            raise ValueError(
                f"expected a directory below checkpoints/experts, where merges look, or checkpoints/controls, which the stage replaces, "
                f"got {place!r} for {name}; write checkpoints/experts/{name}"
            )
    if twice := [place for place in items.values() if list(items.values()).count(place) > 1]:
        raise ValueError(f"expected a directory for each, got {twice[0]!r} for several; give each its own")
    if within := [(one, other) for one in items.values() for other in items.values() if one.startswith(f"{other}/")]:
        raise ValueError(f"expected a directory for each, got {within[0][0]!r} within {within[0][1]!r}; give each its own")
    return items


def as_folders(items: dict[str, Any]) -> dict[str, Any]:
    """The rows of a corpus go into a folder of its name."""
    if wrong := [name for name in items if not re.fullmatch(FOLDER, name) or len(name.encode("utf-8", "replace")) > MOST_BYTES]:
        raise ValueError(
            f"expected names of up to 100 characters ({MOST_BYTES} bytes) without /, \\ and control characters that do not begin with a "
            f"point, as each becomes a folder, got {', '.join(map(repr, wrong))}; call them otherwise"
        )
    return items
