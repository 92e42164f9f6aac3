"""Every text of a curation once: as it stands, as it is compared, and which of them are near. What the parts of curation share."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from pipeline.corpus.near import Near, restricted
from pipeline.corpus.records import Records, Rows, compute, types, written_out
from pipeline.corpus.row import Row

SIDES = ("query", "document")
TEXTS, THREADS = 50_000, 2  # normalised at a time, and at once; speed only


class Compared:
    """``normal`` makes of a text what it is compared by, and so does a call. ``normal.column``, where there is one, does it for an array.

    Price: texts are held as they stand and as they are compared, each once, with 8 bytes for its numbers.
    """

    def __init__(self, normal: Callable[[str], str]) -> None:
        self.normal = normal
        self.texts: pa.Array = pa.array([], pa.large_string())
        self.plain: pa.Array = pa.array([], pa.large_string())
        self._alike: Int[np.ndarray, " T"] = np.zeros(0, np.int32)
        self._near: dict[Any, Near] = {}

    def __call__(self, text: str) -> str:
        return self.normal(text)

    def shown(self, sides: Int[np.ndarray, " S"]) -> str:
        """The texts of these numbers, for a person."""
        return " | ".join(self.texts.take(pa.array(sides)).to_pylist())

    def numbered(self, rows: Rows) -> Rows:
        """``rows``, with the numbers of their texts as notes."""
        if rows.noted("query") is not None:
            return rows
        sides = [written_out(rows.columns[side]) for side in SIDES]
        found: Any = pa.concat_arrays([self.texts, *sides]).dictionary_encode()
        del sides
        known, new = len(self.texts), found.dictionary.slice(len(self.texts))
        if len(new):
            self.texts = found.dictionary
            self.plain = pa.concat_arrays([self.plain, *self._normalised(new)])
            self._alike, self._near = np.zeros(0, np.int32), {}
        query, document = (found.indices.slice(known + side * len(rows), len(rows)) for side in (0, 1))
        return self.referring(rows.replaced(**{"#query": query, "#document": document}))

    def referring(self, rows: Rows) -> Rows:
        """``rows``, whose texts are those of here: they share them, and are joined without a copy."""
        return rows.replaced(**{side: pa.DictionaryArray.from_arrays(rows.columns[f"#{side}"], self.texts) for side in SIDES})

    def _normalised(self, texts: pa.Array) -> list[pa.Array]:
        column = getattr(self.normal, "column", None) or self._one_by_one
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(column, (texts.slice(first, TEXTS) for first in range(0, len(texts), TEXTS))))

    def _one_by_one(self, texts: pa.Array) -> pa.Array:
        return pa.array([self.normal(text) for text in texts.to_pylist()], pa.large_string())

    @property
    def alike(self) -> Int[np.ndarray, " T"]:
        """For each text a number; texts that are compared by the same have the same."""
        if len(self._alike) < len(self.texts):
            self._alike = self.plain.dictionary_encode().indices.to_numpy()
        return self._alike

    def near(self, search: Callable[[Any], Near], chosen: Int[np.ndarray, " N"]) -> Near:
        """Which of the ``chosen`` texts, each named once, are near by ``search``.

        A search whose ``settings`` say all that its answer depends on, beside the two texts, is asked once for all texts, and what it
        found is handed on to every part that has a search with the same settings.
        """
        if (settings := getattr(search, "settings", None)) is None:
            return search(self.plain.take(pa.array(chosen)).to_pylist())
        if settings not in self._near:
            self._near[settings] = search(self.plain)
        return restricted(self._near[settings], chosen)


def compared(rows: Sequence[Row], normal: Callable[[str], str]) -> tuple[Rows, Compared]:
    """``rows`` as columns with the numbers of their texts, and the texts."""
    (table,), texts = all_compared([rows], normal)
    return table, texts


def all_compared(parts: Sequence[Sequence[Row]], normal: Callable[[str], str]) -> tuple[list[Rows], Compared]:
    """The same of several parts, which share the texts."""
    tables = [Records.of(Row, rows) for rows in parts]
    if isinstance(normal, Compared):
        return [normal.numbered(table) for table in tables], normal
    texts = Compared(normal)  # numbers that others gave mean nothing here
    return [texts.numbered(Records(Row, {name: table.columns[name] for name in types(Row)})) for table in tables], texts


def first_seen(numbers: Int[np.ndarray, " N"]) -> Int[np.ndarray, " M"]:
    """The different ones of ``numbers`` in the order in which they come."""
    return compute.unique(pa.array(numbers)).to_numpy()


def sides(rows: Rows) -> Int[np.ndarray, "R 2"]:
    """The numbers of each row's query and document."""
    return np.stack([rows.noted("query"), rows.noted("document")], axis=1).astype(np.int64)
