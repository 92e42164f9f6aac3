"""Train rows that show an evaluation row's words, or nearly its words, are taken out of train; evaluation rows never change."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from pipeline.corpus.near import Near
from pipeline.corpus.row import Row


class Twin(NamedTuple):
    """The evaluation row that a train row gives away, and how similar the compared texts are."""

    row: Row
    similarity: float


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

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> list[Twin | None]:
        """For each train row the most similar evaluation row that it gives away, or None."""
        if self.match == "off" or not train or not evaluation:
            return [None] * len(train)
        number: dict[str, int] = {}
        for row in (*evaluation, *train):
            for text in (row.query, row.document):
                number.setdefault(text, len(number))
        near = self.neighbours([normal(text) for text in number])
        set_of, twins = near.set_of.tolist(), near.twins()
        sets = {text: set_of[i] for text, i in number.items()}
        known: dict[tuple[int, ...], Row] = {}
        for row in evaluation:
            for key in self._keys(sets[row.query], sets[row.document]):
                known.setdefault(key, row)
        return [self._twin(sets[row.query], sets[row.document], known, twins) for row in train]

    def _keys(self, query: int, document: int) -> Iterator[tuple[int, ...]]:
        if self.match == "pair":
            yield query, document
        if self.match in ("query", "text"):
            yield (query,)
        if self.match in ("document", "text"):
            yield (document,)

    def _twin(
        self, query: int, document: int, known: dict[tuple[int, ...], Row], twins: dict[int, list[tuple[int, float]]]
    ) -> Twin | None:
        best: Twin | None = None
        for key in self._keys(query, document):
            options: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
            for one in key:
                near = twins.get(one, [(one, 1.0)])
                options = [((*head, other), min(low, similarity)) for head, low in options for other, similarity in near]
            for other, similarity in options:
                if other in known and (best is None or similarity > best.similarity):
                    best = Twin(known[other], similarity)
        return best
