"""How much of its wording a text shares with another: what a search for equal words would already find."""

import re

WORD = re.compile(r"[a-z]{2,}|\d+")
COMMON = frozenset(re.findall(r"\w+", "an and are as at be by for from if in is it not of on or that the this to with"))


def content_words(text: str) -> frozenset[str]:
    """The words of ``text`` in lower case, parted at ``_``, without single letters and those that any text holds."""
    return frozenset(WORD.findall(text.lower())) - COMMON


def share(question: str, document: str) -> float:
    """The share of the question's words that the document holds; 1 where it has none of its own."""
    asked = content_words(question)
    return len(asked & content_words(document)) / len(asked) if asked else 1.0


def overlap(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared words / all words of both; 0 where there are none."""
    return len(left & right) / len(left | right) if left or right else 0.0
