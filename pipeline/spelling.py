"""The known word that a misspelt one is nearest to."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[object]) -> str:
    """`` (did you mean 'x'?)`` for the closest of ``known``, or nothing where none is close."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
