"""Near duplicates among pairs: both sides nearly the same as those of a pair that stays.

A pair that shares only one side teaches something else (a second answer, a second question) and stays. Graded pairs must
also have one score. Exact duplicates go first, with what `Exact` does for ids.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from pipeline.corpus.files import Dropped, dropped_row
from pipeline.corpus.near import Near as NearTexts
from pipeline.corpus.row import Row
from pipeline.dedup.exact import Exact

NEAR = "near duplicate pair"


class Near:
    """``neighbours`` finds near texts (conf/cluster); of near pairs the one is kept that ``keep`` says.

    first: in the order given, so the best source is the one listed first; longest: most characters in both texts; complete:
    most fields filled in (score, group), then the longest. Ties: the first. A dropped pair is near its twin, not merely
    tied to it by others between them; so no two near pairs stay, and none goes without a near one that stays.
    """

    def __init__(
        self, *, neighbours: Callable[[Sequence[str]], NearTexts], keep: Literal["first", "longest", "complete"]
    ) -> None:
        self.neighbours = neighbours
        self.keep = keep

    def __call__(self, corpus: str, rows: Sequence[Row], normal: Callable[[str], str]) -> tuple[list[Row], list[Dropped]]:
        left, dropped = Exact()(corpus, rows, normal)
        open_rows = [row for row in left if row.split not in ("validation", "test")]
        number = {
            text: i for i, text in enumerate(dict.fromkeys(normal(t) for row in open_rows for t in (row.query, row.document)))
        }
        near = self.neighbours(list(number))
        twins, set_of = near.twins(), near.set_of.tolist()
        order = sorted(range(len(open_rows)), key=lambda i: (self._rank(open_rows[i]), i))
        kept: dict[tuple[str, float | None, int, int], Row] = {}
        gone: dict[int, tuple[Row, float]] = {}
        for i in order:
            row = open_rows[i]
            query, document = (set_of[number[normal(text)]] for text in (row.query, row.document))
            twin, similarity = self._kept_beside(row, query, document, kept, twins)
            if twin is None:
                kept[row.task, row.score, query, document] = row
            else:
                gone[id(row)] = twin, similarity
        dropped += [
            dropped_row(corpus, row, NEAR, twin=gone[id(row)][0], similarity=gone[id(row)][1])
            for row in open_rows
            if id(row) in gone
        ]
        return [row for row in left if id(row) not in gone], dropped

    def _rank(self, row: Row) -> tuple[int, ...]:
        length = len(row.query) + len(row.document)
        filled = sum(value is not None for value in (row.score, row.group))
        return {"first": (), "longest": (-length,), "complete": (-filled, -length)}[self.keep]

    @staticmethod
    def _kept_beside(row, query, document, kept, twins) -> tuple[Row | None, float]:  # pyright: ignore
        """The most similar kept pair, and the smaller of its two sides' similarities."""
        best: tuple[float, Row | None] = (0.0, None)
        for near_query, of_query in twins.get(query, [(query, 1.0)]):
            for near_document, of_document in twins.get(document, [(document, 1.0)]):
                found = kept.get((row.task, row.score, near_query, near_document))
                if found is not None and min(of_query, of_document) > best[0]:
                    best = min(of_query, of_document), found
        return best[1], best[0]
