"""A fact in a haystack: is the text that holds the asked one found, however long it is and wherever in it the fact stands?

Source: Zhu et al. 2024, arXiv:2404.12096, sec. 3 (LongEmbed's passkey and needle tests; theirs are longer than most encoders here).
"""

import random
from collections.abc import Sequence
from typing import Literal

from pipeline.behaviour.subject import Measured, Subject
from pipeline.task import SEARCH

NAMES = (
    "Ada",
    "Boris",
    "Clara",
    "David",
    "Elena",
    "Felix",
    "Greta",
    "Hugo",
    "Irene",
    "Jonas",
    "Karin",
    "Leo",
    "Marta",
    "Nils",
    "Olga",
    "Paul",
    "Quinn",
    "Rosa",
    "Simon",
    "Tilda",
)
PLAIN = ("The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again.")


class Passkey:
    """``texts`` texts of each length, each with another person's key. ``filler``: sentences that say nothing (``plain``, passkey), or
    the test rows' documents (``documents``, needle)."""

    def __init__(self, *, texts: int, tokens: Sequence[int], filler: Literal["plain", "documents"]) -> None:
        if not 2 <= texts <= len(NAMES) or min(tokens) < 1:
            raise ValueError(f"expected 2 to {len(NAMES)} texts and lengths above 0, got {texts} and {list(tokens)}")
        self.texts = texts
        self.lengths = sorted(tokens)
        self.filler = filler

    def measure(self, subject: Subject) -> Measured | None:
        """Share of questions whose text comes first, by length; lengths that the model cuts, or that no key fits into, are left out."""
        draw = random.Random(subject.seed)
        keys = [f"{name}'s pass key is {draw.randrange(10000, 100000)}." for name in NAMES[: self.texts]]
        longest = max(subject.count(keys))
        lengths = [length for length in self.lengths if longest <= length <= subject.max_length_tokens]
        filler = list(PLAIN) if self.filler == "plain" else subject.texts()
        if not lengths or not filler:
            return None
        asked = subject.encode([f"What is {name}'s pass key?" for name in NAMES[: self.texts]], "query", SEARCH.name)
        shares = []
        for length in lengths:
            texts = [_hidden(key, length, filler, subject, draw) for key in keys]
            found = (asked @ subject.encode(texts, "document", SEARCH.name).T).argmax(1)
            shares.append(sum(int(row == i) for i, row in enumerate(found)) / self.texts)
        about = (
            f"Share of {self.texts} questions for a person's pass key whose text comes first among {self.texts}; the key is hidden in "
            f"{'sentences that say nothing' if self.filler == 'plain' else 'test documents'}, at most so many tokens in all."
        )
        return Measured(about, "tokens", lengths, {"found first": shares})


def _hidden(key: str, length: int, filler: Sequence[str], subject: Subject, draw: random.Random) -> str:
    """``key`` at a drawn place among filler, as many words of it as fit into ``length`` tokens."""
    words: list[str] = []
    while len(words) < length:  # a word takes a token at least
        words += draw.choice(filler).split()
    low, high = 0, length
    while low < high:  # most words that fit
        middle = (low + high + 1) // 2
        if subject.count([" ".join([*words[:middle], key])])[0] <= length:
            low = middle
        else:
            high = middle - 1
    at = draw.randrange(low + 1)
    return " ".join([*words[:at], key, *words[at:low]])
