"""Looks for what the split let through, by other means: own tokeniser, numbered shingles instead of hashes, sparse matrix products.

Nothing here is shared with the search that made the split (`pipeline.cluster`), so that a mistake there cannot hide itself.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from scipy.sparse import coo_array, csr_array

from pipeline.audit.shingles import Shingles
from pipeline.corpus.compared import Compared, all_compared, first_seen, sides
from pipeline.corpus.row import Row

BLOCK_TEXTS, THREADS = 10_000, 2  # of the sparse product at a time, and products at once; speed only
BINS = 10  # of the histogram, from similarity 0 to 1


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

    by_column = True
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
        self.unit: Literal["word", "character"] = unit
        self.size = size
        self.threshold = threshold
        self.max_shown = max_shown

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Found:
        """What of ``evaluation`` stands, near enough, in ``train``."""
        texts, (known, _), (asked, _) = self._sides(train, evaluation, normal)
        nearest = np.zeros(len(asked))
        near: list[tuple[float, int, int]] = []
        for first, both in self._near(known, asked, texts):
            np.maximum.at(nearest, both.col, both.data)
            above = np.flatnonzero(both.data >= self.threshold)
            near += zip(both.data[above].tolist(), (first + both.row[above]).tolist(), both.col[above].tolist(), strict=True)
        counts, _ = np.histogram(nearest, bins=BINS, range=(0, 1))
        shown = [
            Leak(round(similarity, 4), texts.shown(known[i]), texts.shown(asked[j])) for similarity, i, j in self._worst(near)
        ]
        worst = sorted(shown, key=lambda leak: (-leak.similarity, leak.evaluation, leak.train))[: self.max_shown]
        return Found(len(near), [], worst, counts.tolist(), round(float(nearest.max(initial=0)), 4), {}, "texts", {})

    def reached(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Reached:
        """How many texts of ``evaluation`` have a near one in ``train``, and which rows hold one."""
        texts, (known, _), (asked, of_rows) = self._sides(train, evaluation, normal)
        near = np.zeros(len(asked), bool)
        for _, both in self._near(known, asked, texts):
            near[both.col[both.data >= self.threshold]] = True
        return Reached(
            {"texts": len(asked)},
            {"texts": int(near.sum())},
            list(map(bool, near[of_rows].max(axis=1, initial=False).tolist())),
            {},
        )

    def in_words(self, stretches: Mapping[str, Any]) -> str:
        """A sentence about `Found.stretches`, of an audit that counts what rows share in part. This one does not."""
        return ""

    def _worst(self, near: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
        """The ``max_shown`` most similar, and all that are as similar as the last of these."""
        least = sorted((one[0] for one in near), reverse=True)[: self.max_shown]
        return [one for one in near if least and round(one[0], 4) >= round(least[-1], 4)]

    def _near(
        self, train: Int[np.ndarray, "T S"], evaluation: Int[np.ndarray, "E S"], texts: Compared
    ) -> Iterator[tuple[int, coo_array]]:
        """Similarities of blocks of ``train``, whose first place comes with each, with all of ``evaluation``; of pairs the lower."""
        if not len(train) or not len(evaluation):
            return
        blocks = [self._similarities(*both, texts.plain) for both in zip(train.T, evaluation.T, strict=True)]
        for first, *parts in zip(range(0, len(train), BLOCK_TEXTS), *blocks, strict=True):
            yield first, (parts[0] if len(parts) == 1 else parts[0].minimum(parts[1])).tocoo()

    def _sides(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Any:
        """The texts, and of either part what is compared, each once, by the numbers of its texts, and where the sides of each row are:
        a text, or the two sides of a row where a pair counts only as a whole."""
        tables, texts = all_compared([train, evaluation], normal)
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for both in map(sides, tables):
            if self.match == "pair":
                size = len(texts.texts)
                keys = both[:, 0] * size + both[:, 1]
                once = first_seen(keys)
                found.append((np.stack(np.divmod(once, max(1, size)), axis=1), _places(once, keys)[:, None]))
            else:
                chosen = both[:, {"text": (0, 1), "query": (0,), "document": (1,)}[self.match]]
                once = first_seen(chosen.ravel())
                found.append((once[:, None], _places(once, chosen)))
        return texts, *found

    def _similarities(
        self, train: Int[np.ndarray, " T"], evaluation: Int[np.ndarray, " E"], plain: pa.Array
    ) -> Iterator[csr_array]:
        """Jaccard similarity of blocks of ``train`` with all of ``evaluation``, by their places in ``plain``; zeros are not stored."""
        shingles = Shingles(self.unit, self.size, plain.take(pa.array(evaluation)))
        of_evaluation = shingles.known.T.tocsr()

        def one(first: int) -> csr_array:
            block, sizes = shingles.of(plain.take(pa.array(train[first : first + BLOCK_TEXTS])))
            shared = (block @ of_evaluation).tocoo()
            union = sizes[shared.row] + shingles.sizes[shared.col] - shared.data
            return csr_array((shared.data / union, (shared.row, shared.col)), shape=shared.shape)

        waiting: deque[Future[csr_array]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            for first in range(0, len(train), BLOCK_TEXTS):
                waiting.append(pool.submit(one, first))
                if len(waiting) > THREADS:  # no more than that are held: one may have as many numbers as pairs
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def _places(once: Int[np.ndarray, " N"], numbers: np.ndarray) -> np.ndarray:
    """Where each of ``numbers`` stands in ``once``."""
    order = np.argsort(once)
    return order[np.searchsorted(once, numbers, sorter=order)] if len(once) else np.zeros(numbers.shape, np.int64)
