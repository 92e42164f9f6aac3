"""Texts made of repeats: a character held down, the same line or word again and again."""

import re
from collections import Counter
from collections.abc import Sequence

from pipeline.corpus.row import Row
from pipeline.corpus.script import parted
from pipeline.corpus.verdict import Fault, Verdict


class Repetition:
    """``max_run``: longest run of one character (white space apart). ``max_lines``, ``max_words``: largest share of lines that
    repeat an earlier one, and of words that are the most frequent one; texts under ``min_words`` words, or with under 4 lines, are
    too short for that to mean anything. In a script without blanks each letter is a word.

    Shares after Rae et al. 2021 (Gopher), arXiv:2112.11446, table A1.
    """

    def __init__(self, *, max_run: int, max_lines: float, max_words: float, min_words: int) -> None:
        if max_run < 1 or not 0 <= max_lines <= 1 or not 0 <= max_words <= 1:
            raise ValueError(
                f"expected max_run >= 1 and shares from 0 to 1, got {max_run}, {max_lines}, {max_words}; write 0.30 for 30 percent"
            )
        self.run = re.compile(r"(\S)\1{" + str(max_run) + ",}")
        self.max_run = max_run
        self.max_lines = max_lines
        self.max_words = max_words
        self.min_words = min_words

    def __call__(self, rows: Sequence[Row]) -> list[Verdict]:
        return [self._verdict(row.query) or self._verdict(row.document) for row in rows]

    def _verdict(self, text: str) -> Verdict:
        if held := self.run.search(text):
            return Fault(f"one character over {self.max_run} times in a row", held[0][:40])
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) >= 4 and (share := 1 - len(set(lines)) / len(lines)) > self.max_lines:
            return Fault("repeated lines", f"{share:.0%} of {len(lines)}")
        words = parted(text.lower()).split()
        if len(words) >= self.min_words:
            word, n = Counter(words).most_common(1)[0]
            if n / len(words) > self.max_words:
                return Fault("one word over and over", f"{word[:40]!r}: {n} of {len(words)}")
        return None
