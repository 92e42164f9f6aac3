"""Exact duplicates: pairs that say the same, and texts that stand under several ids.

Two texts are equal if ``normal`` makes them so; the kept text itself is not changed. Of a repeated pair the first in the
order given is kept. Evaluation rows whose split the source fixed stay as they are.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from pipeline.corpus.compared import compared, sides
from pipeline.corpus.dropped import DroppedRows, dropped_rows
from pipeline.corpus.records import Rows, is_in
from pipeline.corpus.row import Row

REPEATED = "repeated pair"


class Exact:
    """Drops repeated pairs; gives equal texts of one task one id, so that a query with several documents is one query with
    several positives."""

    by_column = True

    def __call__(self, corpus: str, rows: Sequence[Row], normal: Callable[[str], str]) -> tuple[Rows, DroppedRows]:
        table, texts = compared(rows, normal)
        open_ = np.flatnonzero(~is_in(table.columns["split"], ("validation", "test")))
        pair, task = texts.alike[sides(table)[open_]].astype(np.int64), table.codes("task")[0][open_]
        first = open_[_first_of(task, pair[:, 0], pair[:, 1])]  # of each open row, the row with its pair
        again = first != open_
        dropped = dropped_rows(corpus, table.take(open_[again]), REPEATED, twins=table.take(first[again]))
        plain = ~again & table.columns["score"].is_null().to_numpy(zero_copy_only=False)[open_]
        for side, name in enumerate(("query_id", "document_id")):
            source = np.arange(len(table))
            source[open_[plain]] = open_[plain][_first_of(task[plain], pair[plain, side])]
            if (source != np.arange(len(table))).any():
                table = table.replaced(**{name: table.columns[name].take(pa.array(source))})
        stays = np.ones(len(table), bool)
        stays[open_[again]] = False
        return table.where(stays), dropped


def _first_of(*keys: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """For each place the first one at which all ``keys`` are what they are here."""
    number = keys[0]
    for key in keys[1:]:  # numbered anew at each step, so that two of them fit into 64 bits
        number = np.unique(number * (int(key.max(initial=0)) + 1) + key, return_inverse=True)[1]
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    return first[inverse]
