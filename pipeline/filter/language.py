"""Texts in other languages than wanted, by py3langid: a naive Bayes over byte n-grams, its model (97 languages) in the package.

Lui and Baldwin 2012 (langid.py), ACL P12-3005. Short texts are told apart badly, so under ``min_characters`` all pass.
"""

from collections.abc import Sequence

from pipeline.corpus.row import Row
from pipeline.corpus.verdict import Fault, Verdict


class Language:
    """``languages``: ISO 639-1 codes that may stay. A text goes where another language has at least ``min_probability``."""

    def __init__(self, *, languages: Sequence[str], min_probability: float, min_characters: int) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self.identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        known = sorted(self.identifier.labels)
        for language in languages:
            if language not in known:
                raise ValueError(f"filter language: no language {language!r}; there are: {', '.join(known)}")
        self.languages = set(languages)
        self.min_probability = min_probability
        self.min_characters = min_characters
        self.seen: dict[str, Verdict] = {}

    def __call__(self, rows: Sequence[Row]) -> list[Verdict]:
        return [self._verdict(row.query) or self._verdict(row.document) for row in rows]

    def _verdict(self, text: str) -> Verdict:
        if len(text) < self.min_characters:
            return None
        if text not in self.seen:
            language, probability = self.identifier.classify(text)
            other = language not in self.languages and probability >= self.min_probability
            self.seen[text] = Fault("another language", f"{language}, {probability:.2f}") if other else None
        return self.seen[text]
