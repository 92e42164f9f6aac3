"""Texts that are too short to say what they are about, or so long that an encoder would see only their beginning."""

from collections.abc import Sequence

from pipeline.corpus.row import Row
from pipeline.corpus.script import parted
from pipeline.corpus.verdict import Fault, Verdict


class Length:
    """Bounds in words parted by white space (a letter in a script without blanks), each side included."""

    def __init__(self, *, min_words: int, max_words: int) -> None:
        if not 0 <= min_words <= max_words:
            raise ValueError(
                f"expected 0 <= min_words <= max_words, got {min_words} and {max_words}; see conf/filter/length.yaml"
            )
        self.min_words = min_words
        self.max_words = max_words

    def __call__(self, rows: Sequence[Row]) -> list[Verdict]:
        return [self._verdict(row) for row in rows]

    def _verdict(self, row: Row) -> Verdict:
        for side, text in (("query", row.query), ("document", row.document)):
            words = len(parted(text).split())
            if words < self.min_words:
                return Fault(f"{side} under {self.min_words} words", f"{words} words")
            if words > self.max_words:
                return Fault(f"{side} over {self.max_words} words", f"{words} words")
        return None
