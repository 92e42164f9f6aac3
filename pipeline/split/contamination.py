"""Train rows that show an evaluation row's words, or nearly its words, are taken out of train; evaluation rows never change."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pipeline.corpus.compared import all_compared, first_seen, sides
from pipeline.corpus.near import Near
from pipeline.corpus.row import Row

SIDES = {
    "text": (0, 1),
    "query": (0,),
    "document": (1,),
    "pair": (0, 1),
}  # of a row, which are looked at: 0 the query, 1 the document


class Twins(NamedTuple):
    """For each train row the place of the evaluation row that it gives away, -1 for none, and how similar the compared texts are."""

    place: Int[np.ndarray, " T"]
    similarity: Float[np.ndarray, " T"]


class Contamination:
    """``match`` says which texts are compared: text (either side with either side), query (queries with queries), document
    (documents with documents), pair (both sides of one row, near each), off. ``neighbours`` says which texts are near
    (conf/cluster).
    """

    def __init__(
        self, *, match: Literal["text", "query", "document", "pair", "off"], neighbours: Callable[[Sequence[str]], Near]
    ) -> None:
        self.match = match
        self.neighbours = neighbours

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> Twins:
        """For each train row the most similar evaluation row that it gives away, the first of equals."""
        if self.match == "off" or not len(train) or not len(evaluation):
            return Twins(np.full(len(train), -1), np.zeros(len(train)))
        tables, texts = all_compared([evaluation, train], normal)
        known, asked = map(sides, tables)
        chosen = first_seen(np.concatenate([known, asked]).ravel())
        near = texts.near(self.neighbours, chosen)
        place = np.zeros(len(texts.texts), np.int64)
        place[chosen] = np.arange(len(chosen))
        of_train, of_evaluation = near.set_of[place[asked]], near.set_of[place[known]]
        if self.match == "pair":
            return _pairs(of_train, of_evaluation, near)
        looked = SIDES[self.match]
        row, similarity = _nearest(of_evaluation[:, looked], near)
        best, found = row[of_train[:, looked[0]]], similarity[of_train[:, looked[0]]]
        for side in looked[1:]:
            better = similarity[of_train[:, side]] > found
            best = np.where(better, row[of_train[:, side]], best)
            found = np.maximum(found, similarity[of_train[:, side]])
        return Twins(best, found)


def _nearest(known: Int[np.ndarray, "E S"], near: Near) -> tuple[Int[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """For each set the first row of the ``known`` set most similar to it (-1: none is near), and that similarity; itself has 1."""
    row = np.full(near.num_sets, len(known))
    np.minimum.at(row, known.ravel(), np.repeat(np.arange(len(known)), known.shape[1]))
    is_known = row < len(known)
    similarity = is_known.astype(np.float64)
    one, other = np.concatenate([near.left, near.right]), np.concatenate([near.right, near.left])
    far = np.concatenate([near.similarity, near.similarity])
    open_ = np.flatnonzero(is_known[other] & ~is_known[one])
    open_ = open_[np.lexsort((other[open_], -far[open_], one[open_]))]
    sets, first = np.unique(one[open_], return_index=True)
    row[sets], similarity[sets] = row[other[open_[first]]], far[open_[first]]
    return np.where(similarity > 0, row, -1), similarity


def _pairs(train: Int[np.ndarray, "T 2"], evaluation: Int[np.ndarray, "E 2"], near: Near) -> Twins:
    """Both sides near those of one evaluation row: only train rows of which each side is near some one's are looked at one by one."""
    known: dict[tuple[int, int], int] = {}
    for i, (query, document) in enumerate(evaluation.tolist()):
        known.setdefault((query, document), i)
    reached = [_nearest(evaluation[:, [side]], near)[1][train[:, side]] > 0 for side in (0, 1)]
    twins = near.twins()
    place, similarity = np.full(len(train), -1), np.zeros(len(train))
    for i in np.flatnonzero(reached[0] & reached[1]).tolist():
        options = [twins.get(one, [(one, 1.0)]) for one in train[i].tolist()]
        for (query, of_query), (document, of_document) in product(*options):
            found = known.get((query, document))
            if found is not None and min(of_query, of_document) > similarity[i]:
                place[i], similarity[i] = found, min(of_query, of_document)
    return Twins(place, similarity)
