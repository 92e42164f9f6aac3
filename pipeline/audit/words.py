"""Looks for what the split let through, by other means: own tokeniser, shingles as text instead of hashes, sparse matrix products.

Nothing here is shared with the search that made the split (`pipeline.cluster`), so that a mistake there cannot hide itself.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array

from pipeline.corpus.row import Row

BLOCK_ROWS = 1_000  # of the sparse product at a time
BINS = 10  # of the histogram, from similarity 0 to 1
PLAIN = re.compile(r"[a-z0-9]+")
WITHOUT_BLANKS = re.compile(  # how Unicode's names of letters begin in scripts whose words no blank parts
    "CJK |IDEOGRAPHIC |HANGZHOU |VERTICAL KANA |VERTICAL IDEO|MASU |HIRAGANA |KATAKANA|HALFWIDTH KATAKANA|HENTAIGANA |BOPOMOFO |"
    "YI |THAI |LAO |KHMER |MYANMAR |TAI |NEW TAI |JAVANESE |BALINESE "
)


@dataclass(frozen=True, slots=True)
class Leak:
    """A train text and an evaluation text (or both sides of two rows), and their similarity."""

    similarity: float
    train: str
    evaluation: str


@dataclass(frozen=True, slots=True)
class Found:
    """``num_leaks``: pairs that are too near. ``sharing``: evaluation texts that share a stretch with train where that is forbidden.
    ``nearest[b]``: evaluation texts whose nearest train text has a similarity in bin ``b`` of ten. ``looked``: how they were found.
    ``things``: what was compared, in a word. ``stretches``: what rows share in part, where that is counted."""

    num_leaks: int
    sharing: list[str]
    worst: list[Leak]
    nearest: list[int]
    highest: float
    looked: dict[str, Any]
    things: str
    stretches: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reached:
    """How much of an evaluation split has something near in train: different texts (or chains, or sides) by what they are called, and for
    each row whether it holds one. ``stretches``: what rows share in part, where that is counted."""

    texts: dict[str, int]
    near: dict[str, int]
    near_rows: list[bool]
    stretches: dict[str, Any]


class Audit:
    """``match`` as in contamination: which sides must not be near. ``unit``, ``size``, ``threshold``: what near is."""

    remedy = "Let curate.contamination take out what the audit looks for (match, and the threshold of near), or mend the source"

    texts = "prose"  # what it reads, as `pipeline.task` calls it

    def __init__(
        self,
        *,
        match: Literal["text", "query", "document", "pair"],
        unit: Literal["word", "character"],
        size: int,
        threshold: float,
        max_shown: int,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {threshold}; write 0.30 for 30 percent")
        self.match = match
        self.unit = unit
        self.size = size
        self.threshold = threshold
        self.max_shown = max_shown

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Found:
        """What of ``evaluation`` stands, near enough, in ``train``."""
        sides = self._sides(train), self._sides(evaluation)
        nearest = np.zeros(len(sides[1]))
        leaks: list[Leak] = []
        num_leaks = 0
        for first, both in self._near(*sides, normal):
            nearest = np.maximum(nearest, both.max(axis=0).toarray().ravel())
            both = both.tocoo()
            similarity = np.asarray(both.data, np.float64)
            above = np.flatnonzero(similarity >= self.threshold)
            num_leaks += len(above)
            for k in above[np.argsort(-similarity[above], kind="stable")][: self.max_shown]:
                texts = " | ".join(sides[0][first + int(both.row[k])]), " | ".join(sides[1][int(both.col[k])])
                leaks.append(Leak(round(float(similarity[k]), 4), *texts))
        counts, _ = np.histogram(nearest, bins=BINS, range=(0, 1))
        worst = sorted(leaks, key=lambda leak: (-leak.similarity, leak.evaluation, leak.train))[: self.max_shown]
        return Found(num_leaks, [], worst, counts.tolist(), round(float(nearest.max(initial=0)), 4), {}, "texts", {})

    def reached(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Reached:
        """How many texts of ``evaluation`` have a near one in ``train``, and which rows hold one."""
        asked = self._sides(evaluation)
        near = np.zeros(len(asked), bool)
        for _, both in self._near(self._sides(train), asked, normal):
            near |= both.max(axis=0).toarray().ravel() >= self.threshold
        found = {side for side, one in zip(asked, near.tolist(), strict=True) if one}
        near_rows = [not found.isdisjoint(self._sides([row])) for row in evaluation]
        return Reached({"texts": len(asked)}, {"texts": len(found)}, near_rows, {})

    def in_words(self, stretches: Mapping[str, Any]) -> str:
        """A sentence about `Found.stretches`, of an audit that counts what rows share in part. This one does not."""
        return ""

    def _near(
        self, train: Sequence[tuple[str, ...]], evaluation: Sequence[tuple[str, ...]], normal: Callable[[str], str]
    ) -> Iterator[tuple[int, csr_array]]:
        """Similarities of blocks of ``train``, whose first place comes with each, with all of ``evaluation``; of pairs the lower."""
        if not train or not evaluation:
            return
        blocks = [
            self._similarities([normal(t) for t in of_train], [normal(t) for t in of_evaluation])
            for of_train, of_evaluation in zip(zip(*train, strict=True), zip(*evaluation, strict=True), strict=True)
        ]
        for first, *parts in zip(range(0, len(train), BLOCK_ROWS), *blocks, strict=True):
            yield first, parts[0] if len(parts) == 1 else parts[0].minimum(parts[1])

    def _sides(self, rows: Sequence[Row]) -> list[tuple[str, ...]]:
        """What is compared, each once: a text, or the two sides of a row where a pair counts only as a whole."""
        if self.match == "pair":
            return list(dict.fromkeys((row.query, row.document) for row in rows))
        chosen = {"text": ("query", "document"), "query": ("query",), "document": ("document",)}[self.match]
        return list(dict.fromkeys((getattr(row, side),) for row in rows for side in chosen))

    def _similarities(self, train: list[str], evaluation: list[str]) -> Iterator[csr_array]:
        """Jaccard similarity of blocks of ``train`` with all of ``evaluation``; zeros are not stored."""
        columns: dict[str, int] = {}
        sets = [self._shingles(text) for text in evaluation]
        for shingles in sets:
            for shingle in shingles:
                columns.setdefault(shingle, len(columns))
        of_evaluation = _matrix(sets, columns).T.tocsc()
        sizes = np.array([len(shingles) for shingles in sets])
        for first in range(0, len(train), BLOCK_ROWS):
            block = [self._shingles(text) for text in train[first : first + BLOCK_ROWS]]
            shared = (_matrix(block, columns) @ of_evaluation).tocoo()
            union = np.array([len(s) for s in block])[shared.row] + sizes[shared.col] - shared.data
            yield csr_array((shared.data / union, (shared.row, shared.col)), shape=shared.shape)

    def _shingles(self, text: str) -> set[str]:
        units: Sequence[str] = _words(text) if self.unit == "word" else " ".join(_runs(text))
        run = min(self.size, len(units))
        return {"\x1f".join(units[i : i + run]) for i in range(len(units) - run + 1)} if units else set()


def _matrix(sets: Sequence[set[str]], columns: dict[str, int]) -> csr_array:
    """A row a set, 1 for each of its shingles; shingles without a column are left out."""
    at = [(i, columns[shingle]) for i, shingles in enumerate(sets) for shingle in sorted(shingles) if shingle in columns]
    rows, places = (np.array([one[k] for one in at], dtype=np.int64) for k in (0, 1))
    return csr_array((np.ones(len(at)), (rows, places)), shape=(len(sets), max(1, len(columns))))


def _runs(text: str) -> list[str]:
    """Runs of letters, digits and marks, in lower case."""
    text = unicodedata.normalize("NFC", text)
    if text.isascii():
        return PLAIN.findall(text.lower())
    lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in lower).split()


def _words(text: str) -> list[str]:
    """`_runs`, but in a script without blanks each letter with its marks."""
    found: list[str] = []
    for run in _runs(text):
        words, alone = [""], False
        for character in "" if run.isascii() else run:
            if unicodedata.category(character)[0] != "M" or not words[-1]:
                before, alone = alone, _alone(character)
                words += [""] if before or alone else []
            words[-1] += character
        found += [run] if run.isascii() else [word for word in words if word]
    return found


@cache
def _alone(character: str) -> bool:
    return unicodedata.category(character) in ("Lo", "Lm", "Nl") and bool(WITHOUT_BLANKS.match(unicodedata.name(character, "")))
