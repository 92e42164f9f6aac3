"""Running text cut into passages, and these into sentences."""

import re

ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
BLANK = re.compile(r"\n\s*\n")


def sentences(text: str) -> list[str]:
    """In their order; what has no letter and no digit is none."""
    return [part.strip() for part in ENDS.split(text) if any(letter.isalnum() for letter in part)]


def passages(text: str, min_words: int) -> list[str]:
    """The paragraphs of a text, its line ends as blanks. One of fewer than ``min_words`` goes with the next, the last with the one before;
    all that is left is one passage however short it is."""
    found: list[str] = []
    short = ""
    for paragraph in BLANK.split(text):
        joined = " ".join(f"{short} {paragraph}".split())
        short = joined if len(joined.split()) < min_words else ""
        if joined and not short:
            found.append(joined)
    if short and found:
        found[-1] = f"{found[-1]} {short}"
    return found or ([short] if short else [])


def halves(passage: str) -> tuple[str, str] | None:
    """The first sentence and the rest; where there is one sentence, its two halves; None for a single word."""
    first, *rest = sentences(passage) or [""]
    if rest:
        return first, " ".join(rest)
    words = passage.split()
    middle = (len(words) + 1) // 2
    return (" ".join(words[:middle]), " ".join(words[middle:])) if len(words) > 1 else None
