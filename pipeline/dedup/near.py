"""Near duplicates among pairs: both sides nearly the same as those of a pair that stays.

A pair that shares only one side teaches something else (a second answer, a second question) and stays. Graded pairs must
also have one score. Exact duplicates go first, with what `Exact` does for ids.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from pipeline.corpus.compared import SIDES, Compared, compared, first_seen, sides
from pipeline.corpus.dropped import DroppedRows, dropped_rows
from pipeline.corpus.near import Near as NearTexts
from pipeline.corpus.records import Rows, compute, is_in, written_out
from pipeline.corpus.row import Row
from pipeline.dedup.exact import Exact

NEAR = "near duplicate pair"


class Near:
    """``neighbours`` finds near texts (conf/cluster); of near pairs the one is kept that ``keep`` says.

    first: in the order given, so the best source is the one listed first; longest: most characters in both texts; complete:
    most fields filled in (score, group), then the longest. Ties: the first. A dropped pair is near its twin, not merely
    tied to it by others between them; so no two near pairs stay, and none goes without a near one that stays.
    """

    by_column = True

    def __init__(
        self, *, neighbours: Callable[[Sequence[str]], NearTexts], keep: Literal["first", "longest", "complete"]
    ) -> None:
        self.neighbours = neighbours
        self.keep = keep

    def __call__(self, corpus: str, rows: Sequence[Row], normal: Callable[[str], str]) -> tuple[Rows, DroppedRows]:
        table, texts = compared(rows, normal)
        left, repeated = Exact()(corpus, table, texts)
        asked = ~is_in(left.columns["split"], ("validation", "test"))
        rows, open_ = left.where(asked), np.flatnonzero(asked)
        gone, twin, similarity = self._gone(rows, *self._sets(rows, texts))
        out = dropped_rows(corpus, rows.take(gone), NEAR, twins=rows.take(twin), similarity=similarity)
        stays = np.ones(len(left), bool)
        stays[open_[gone]] = False
        return left.where(stays), repeated + out

    def _sets(self, rows: Rows, texts: Compared) -> tuple[Int[np.ndarray, "R 2"], NearTexts]:
        """The sets of each row's query and document, and which are near; texts that are compared by the same are one text."""
        alike = texts.alike[sides(rows)].astype(np.int64)
        classes = first_seen(alike.ravel())
        _, text = np.unique(texts.alike, return_index=True)  # of each class
        near = texts.near(self.neighbours, text[classes])
        place = np.zeros(len(text), np.int64)
        place[classes] = np.arange(len(classes))
        return near.set_of[place[alike]], near

    def _gone(
        self, rows: Rows, set_of: Int[np.ndarray, "R 2"], near: NearTexts
    ) -> tuple[Int[np.ndarray, " G"], Int[np.ndarray, " G"], Float[np.ndarray, " G"]]:
        """(rows that go, in their order, the row that stays instead of each, their similarity).

        Only rows that share their clusters on both sides with another can go; these are looked at one by one, for what is kept decides
        what goes.
        """
        score = rows.codes("score")[0]
        task = rows.codes("task")[0]
        asked = self._in_order(rows, _shared(task, score, *near.of_sets()[set_of].T))
        twins = near.twins()
        kept: dict[tuple[int, int, int, int], int] = {}
        gone: dict[int, tuple[int, float]] = {}
        keys = np.stack([task[asked], score[asked], *set_of[asked].T], axis=1).tolist()
        for i, (of_task, of_score, query, document) in zip(asked.tolist(), keys, strict=True):
            twin, similarity = self._kept_beside(of_task, of_score, query, document, kept, twins)
            if twin < 0:
                kept[of_task, of_score, query, document] = i
            else:
                gone[i] = twin, similarity
        order = np.array(sorted(gone), np.int64)
        found = [gone[i] for i in order.tolist()]
        return (
            order,
            np.array([twin for twin, _ in found], np.int64),
            np.array([similarity for _, similarity in found], np.float64),
        )

    def _in_order(self, rows: Rows, places: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
        """``places`` in the order in which rows are preferred."""
        own = rows.take(places)
        length = [compute.utf8_length(written_out(own.columns[side])).to_numpy().astype(np.int64) for side in SIDES]
        filled = sum(
            (~rows.columns[name].is_null().to_numpy(zero_copy_only=False)[places]).astype(np.int64)
            for name in ("score", "group")
        )
        longest = -sum(length)
        return places[
            np.lexsort({"first": (places,), "longest": (places, longest), "complete": (places, longest, -filled)}[self.keep])
        ]

    @staticmethod
    def _kept_beside(task, score, query, document, kept, twins) -> tuple[int, float]:  # pyright: ignore
        """The most similar kept pair (-1: none), and the smaller of its two sides' similarities."""
        best = (0.0, -1)
        for near_query, of_query in twins.get(query, [(query, 1.0)]):
            for near_document, of_document in twins.get(document, [(document, 1.0)]):
                found = kept.get((task, score, near_query, near_document))
                if found is not None and min(of_query, of_document) > best[0]:
                    best = min(of_query, of_document), found
        return best[1], best[0]


def _shared(*keys: Int[np.ndarray, " N"]) -> Int[np.ndarray, " M"]:
    """Places whose ``keys`` all stand at another place, too."""
    number = keys[0]
    for key in keys[1:]:
        number = np.unique(number * (int(key.max(initial=0)) + 1) + key, return_inverse=True)[1]
    return np.flatnonzero(np.bincount(number)[number] > 1) if len(number) else number
