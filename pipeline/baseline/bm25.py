"""BM25, the ranking without a model (package bm25s), in the variant of Lucene; a language's stop words are left out.

A word is two letters or digits in a row, or more. In a script without blanks (`pipeline.corpus.script`), each letter and each two in a row
are words, as in Lucene's analyser of Chinese, Japanese and Korean.

Source: Robertson and Zaragoza 2009, doi:10.1561/1500000019; Lù 2024, arXiv:2407.03618.
"""

import re
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import bm25s
import numpy as np

from pipeline.corpus.collection import Collection
from pipeline.corpus.script import character_class, is_latin, marks, runs
from pipeline.spelling import nearest
from pipeline.task import kind_of

LANGUAGES = {  # ISO 639-1 codes of what bm25s has stop words for
    "da": "danish",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "ko": "korean",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
    "zh": "chinese",
}
AS_THEY_ARE = r"\S+"  # for words that stand with a blank between
PLAIN = re.compile(r"\b\w\w+\b")


@lru_cache(maxsize=1)
def _marked() -> re.Pattern[str]:
    return re.compile(rf"[\w{character_class(marks())}]{{2,}}")


def words(text: str) -> list[str]:
    """The words of ``text`` in lower case; those of scripts without blanks behind the others.

    Vowels of Indic scripts are marks and belong to the word. A text in Latin letters is parted as bm25s would do it.
    """
    others, without_blanks = runs(text if is_latin(text) else unicodedata.normalize("NFC", text))
    found = (PLAIN if is_latin(others) else _marked()).findall(others.lower())
    for run in without_blanks:
        found += [letter.lower() for letter in run] + [one + two for one, two in pairwise(run)]
    return found


def tokens(texts: list[str], language: str | None, stem: bool) -> Any:
    """What bm25s makes of the words of ``texts``, without the stop words of ``language``; ``stem``: of each the stem alone."""
    stemmer = None
    if stem:
        from Stemmer import Stemmer  # pyright: ignore[reportMissingImports]  package PyStemmer

        stemmer = Stemmer(LANGUAGES[language or ""])
    joined = [" ".join(words(text)) for text in texts]
    stop_words = language if language is not None else []
    return bm25s.tokenize(joined, token_pattern=AS_THEY_ARE, stopwords=stop_words, stemmer=stemmer, show_progress=False)  # pyright: ignore[reportArgumentType]


def bm25(
    queries: list[str], documents: list[str], depth: int, *, k1: float, b: float, language: str | None, stem: bool
) -> tuple[np.ndarray, np.ndarray]:
    """``(scores, rows)``, each ``[B, depth]``, best first; row -1 where no further document shares a word with the query."""
    depth = min(depth, len(documents))
    held = tokens(documents, language, stem)
    if not any(held.ids):  # no document holds a word (one letter is none): all are equally far
        return np.zeros((len(queries), depth)), np.full((len(queries), depth), -1)
    index = bm25s.BM25(method="lucene", k1=k1, b=b)
    index.index(held, show_progress=False)
    rows, scores = index.retrieve(tokens(queries, language, stem), k=depth, show_progress=False)
    return scores, np.where(scores > 0, rows, -1)


class Bm25:
    """`bm25` as a baseline: ``k1`` saturates a word's count, ``b`` in [0, 1] says how far long documents are marked down.

    ``language``: whose stop words count for nothing, None for none. ``stem``: words are compared by their stems in that language.
    """

    def __init__(self, *, k1: float, b: float, language: str | None, stem: bool) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ValueError(f"expected k1 of 0 or more and b in [0, 1], got {k1} and {b}; see conf/baseline/bm25.yaml")
        if language is not None and language not in LANGUAGES:
            raise ValueError(
                f"bm25 has stop words of {', '.join(LANGUAGES)}, got language {language!r}{nearest(language, LANGUAGES)}; "
                "null leaves none out"
            )
        if stem and language in (None, "ko", "zh"):
            raise ValueError(f"bm25 stems words of a language that Snowball knows, got language {language!r}; set stem: false")
        if stem and find_spec("Stemmer") is None:
            raise ValueError(
                "bm25 stems with the package PyStemmer, which is not installed; pip install PyStemmer, or set stem: false"
            )
        self.k1 = k1
        self.b = b
        self.language = language
        self.stem = stem

    def answer(self, evaluator: Any, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]] | None:
        """``(scores, items)`` as ``evaluator`` gives them; None for what is no search."""
        return evaluator.judge(self.search, collection) if kind_of(collection).searched else None

    def search(self, queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
        return bm25(queries, documents, depth, k1=self.k1, b=self.b, language=self.language, stem=self.stem)
