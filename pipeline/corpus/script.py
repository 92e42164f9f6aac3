"""Scripts that are written without blanks between words, and where such a text is parted instead.

A sentence of Chinese or Thai has no white space, so what looks for words would take it for one. Here a letter of such a script, with the
marks above and below it, counts as a word of its own. Texts in all other scripts are left exactly as they are.

Source: the scripts of line break classes ID and SA, Unicode Standard Annex 14.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

BLOCKS: dict[str, tuple[tuple[int, int], ...]] = {
    "Han": (
        (0x3005, 0x3007),
        (0x3021, 0x3029),
        (0x3038, 0x303C),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x3FFFF),
    ),
    "Kana": ((0x3031, 0x3035), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F)),
    "Bopomofo": ((0x3105, 0x312F), (0x31A0, 0x31BF)),
    "Yi": ((0xA000, 0xA48C),),
    "Thai": ((0x0E01, 0x0E4F),),
    "Lao": ((0x0E81, 0x0EDF),),
    "Khmer": ((0x1780, 0x17DC),),
    "Myanmar": ((0x1000, 0x109F), (0xA9E0, 0xA9FE), (0xAA60, 0xAA7F)),
    "Tai": ((0x1950, 0x19DA), (0x1A20, 0x1AAD), (0xAA80, 0xAADF)),
    "Javanese": ((0xA984, 0xA9CF),),
    "Balinese": ((0x1B05, 0x1B4C),),
}
MOSTLY = 0.5  # of a text's letters: a text of which more are of a script counts as one in that script


@lru_cache(maxsize=1)
def letters() -> dict[int, str]:
    """Code point -> script of every letter of `BLOCKS`; their digits, marks and punctuation are treated as those of any script."""
    return {
        code: script
        for script, blocks in BLOCKS.items()
        for first, last in blocks
        for code in range(first, last + 1)
        if _kind(code)[0] == "L" or _kind(code) == "Nl"
    }


@lru_cache(maxsize=1)
def marks() -> list[int]:
    """The code points that belong to the letter before them."""
    return [code for code in range(0x110000) if _kind(code)[0] == "M"]


def _kind(code: int) -> str:
    return unicodedata.category(chr(code))


def character_class(codes: Iterable[int]) -> str:
    """A class of a regular expression; ``codes`` ascend within each run."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in runs)


@lru_cache(maxsize=1)
def _letter() -> re.Pattern[str]:
    return re.compile(f"[{character_class(letters())}][{character_class(marks())}]*")


@lru_cache(maxsize=1)
def _run() -> re.Pattern[str]:
    return re.compile(f"(?:{_letter().pattern})+")


def parted(text: str) -> str:
    """``text`` with a blank on either side of every letter of a script without blanks; the text itself where it has none."""
    return text if text.isascii() else _letter().sub(r" \g<0> ", text)


def runs(text: str) -> tuple[str, list[list[str]]]:
    """(what stands between runs of letters of scripts without blanks, the letters of each run, each with its marks)."""
    if text.isascii():
        return text, []
    return _run().sub(" ", text), [_letter().findall(run) for run in _run().findall(text)]


def script_without_blanks(text: str) -> str | None:
    """The script without blanks that ``text`` is written in, by most of its letters; None for every other text."""
    if text.isascii() or not _letter().search(text):
        return None
    known = letters()
    found = Counter(known[ord(c)] for c in text if ord(c) in known)
    if found.total() <= MOSTLY * sum(c.isalpha() for c in text):
        return None
    return min(found, key=lambda script: (-found[script], script))


def counted(texts: Iterable[str]) -> dict[str, int]:
    """How many of ``texts`` are written in each script without blanks; empty where none is."""
    found = Counter(script for text in texts if (script := script_without_blanks(text)))
    return dict(sorted(found.items()))


def is_latin(text: str) -> bool:
    """Whether half or more of the letters are Latin; True for a text without a letter."""
    own = [c for c in text if c.isalpha()]
    return text.isascii() or 2 * sum(unicodedata.name(c, "").startswith(("LATIN ", "FULLWIDTH LATIN ")) for c in own) >= len(
        own
    )
