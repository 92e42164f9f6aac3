"""A query that is its own document teaches nothing. A graded pair may hold one text twice: its score says something."""

import unicodedata
from collections.abc import Sequence

from pipeline.corpus.row import Row
from pipeline.corpus.verdict import Fault, Verdict


class Identical:
    """``words_only``: texts are compared by letters with their marks and digits alone, else by all but white space. Case never counts."""

    def __init__(self, *, words_only: bool) -> None:
        self.words_only = words_only

    def __call__(self, rows: Sequence[Row]) -> list[Verdict]:
        fault = Fault("query equals document", "")
        return [fault if row.score is None and self._key(row.query) == self._key(row.document) else None for row in rows]

    def _key(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text).lower()
        letters = "".join(c for c in text if c.isalnum() or unicodedata.category(c)[0] == "M") if self.words_only else ""
        return letters or "".join(text.split())  # of a text without a letter all counts
