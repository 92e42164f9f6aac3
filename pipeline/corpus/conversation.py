"""Conversations as pairs: what a person says is the query, what is answered the document."""

from collections.abc import Mapping

SPEAKERS = {"user": "query", "human": "query", "assistant": "document", "gpt": "document"}
SILENT = ("system", "tool", "function", "developer")
FORMS = (("role", "content"), ("from", "value"))  # OpenAI's, and ShareGPT's


def turns(conversation: object, column: str) -> list[tuple[str, str]]:
    """(what was said, its answer) for every answered turn, without what was said before. Turns of the system or a tool are left out."""
    if not isinstance(conversation, list):
        raise ValueError(f"{column!r} must hold a list of turns, got {type(conversation).__name__}")
    pairs: list[tuple[str, str]] = []
    said: str | None = None
    for turn in conversation:
        side, text = _turn(turn, column)
        if side == "query":
            said = text
        elif side == "document" and said is not None:
            pairs.append((said, text))
            said = None
    if not pairs:
        raise ValueError(f"{column!r} holds no answered turn; expected one of a user and one of the assistant behind it")
    return pairs


def _turn(turn: object, column: str) -> tuple[str, str]:
    for speaker, content in FORMS:
        if isinstance(turn, Mapping) and speaker in turn and content in turn:
            name, text = turn[speaker], turn[content]
            if name in SILENT:
                return "", ""
            if name not in SPEAKERS or not isinstance(text, str) or not text.strip():
                raise ValueError(
                    f"{column!r}: expected a text by one of {', '.join(SPEAKERS)}, got {type(text).__name__} by {name!r}"
                )
            return SPEAKERS[str(name)], text
    keys = ", ".join(map(str, turn)) if isinstance(turn, Mapping) else type(turn).__name__
    raise ValueError(f"{column!r}: a turn needs role and content (or from and value), got {keys}")
