"""How many evaluation texts stand in train in other words: a measurement by words alone, in a second; nothing is taken out.

Pairs that the words leave open are handed on: stage `final` asks a fixed model about them, so that curation runs without one. To take such
train rows out, choose the search for contamination: `cluster@curate.near: either` with a part `paraphrase`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from pipeline.corpus.compared import Compared, all_compared, first_seen, sides
from pipeline.corpus.records import of_kinds
from pipeline.corpus.row import Row

BINS = 10  # of the histogram, from similarity 0 to 1


class Search(Protocol):
    """`pipeline.cluster.paraphrase.Paraphrase`, as far as it is used here."""

    most: int

    def told(self, texts: Sequence[str], side: Sequence[int] | None = None) -> Any: ...


class Paraphrased:
    """``search``: what says the same; ``max_shown``: pairs that are written, those with the fewest words in common first. ``max_texts``: of
    train and the evaluation split together, beyond which it is not measured, for texts share single words far more often than runs of them.
    """

    by_column = True

    def __init__(self, *, search: Search, max_shown: int, max_texts: int) -> None:
        self.search = search
        self.max_shown = max_shown
        self.max_texts = max_texts

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> dict[str, Any] | None:
        """``nearest``: evaluation texts by the words shared with the nearest train text that says the same. ``open``: pairs of a train and
        an evaluation text, those with most in common first; ``not_handed_on``: how many more there are. Chains of proteins are no words.
        None where they are too many."""
        every, chosen = _prose(train, evaluation, normal)
        if (count := sum(map(len, chosen))) > self.max_texts:
            _tell_too_many(count)
            return None
        known, asked = (every.texts.take(pa.array(part)).to_pylist() for part in chosen)
        texts = [*known, *asked]
        plain = every.plain.take(pa.array(np.concatenate(chosen))).to_pylist()
        told = self.search.told(plain, [0] * len(known) + [1] * len(asked))
        number = told.set_of.tolist()
        first: tuple[dict[int, str], dict[int, str]] = {}, {}
        for i, text in enumerate(texts):
            first[i >= len(known)].setdefault(number[i], text)
        pairs = list(zip(told.left.tolist(), told.right.tolist(), told.similarity.tolist(), strict=True))
        best: dict[int, tuple[float, int]] = {one: (1.0, one) for one in first[1] if one in first[0]}
        for left, right, similarity in (pairs[k] for k in np.flatnonzero(told.same).tolist()):
            for one, other in ((left, right), (right, left)):
                if one in first[1] and other in first[0]:
                    best[one] = max(best.get(one, (0.0, -1)), (similarity, other))
        open_ = [
            (similarity, first[0][other], first[1][one])
            for left, right, similarity in (pairs[k] for k in np.flatnonzero(told.open).tolist())
            for one, other in ((left, right), (right, left))
            if one in first[1] and other in first[0] and one not in best
        ]
        open_.sort(key=lambda one: (-one[0], *one[1:]))
        found = [(*best[one], text) for one, text in zip(number[len(known) :], asked, strict=True) if one in best]
        values = [similarity for similarity, *_ in found] + [0.0] * (len(asked) - len(found))
        shown = sorted((round(similarity, 4), first[0][other], text) for similarity, other, text in found)[: self.max_shown]
        return {
            "texts": len(asked),
            "in_other_words": len(found),
            "nearest": np.histogram(values, bins=BINS, range=(0, 1))[0].tolist(),
            "shown": [{"similarity": value, "train": one, "evaluation": other} for value, one, other in shown],
            "open": [[one, other] for _, one, other in open_[: self.search.most]],
            "not_handed_on": max(0, len(open_) - self.search.most),
        }


def _prose(
    train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]
) -> tuple[Compared, list[Int[np.ndarray, " T"]]]:
    """The texts, and of train and of evaluation the numbers of those that are prose, each once."""
    tables, every = all_compared([train, evaluation], normal)
    prose = [rows.where(of_kinds(rows, lambda kind: kind.texts == "prose")) for rows in tables]
    return every, [first_seen(sides(rows).ravel()) for rows in prose]


def _tell_too_many(count: int) -> None:
    print(
        f"{count} texts are too many to look for those that stand in train in other words: "
        f"`set: {{curate.measures.paraphrased.max_texts: {count}}}` does it all the same"
    )
