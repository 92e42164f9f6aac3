"""What a behaviour is measured on: ways to ask the model, and test collections to take texts from. Never the model itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from pipeline.corpus.collection import Collection, Judged, Labelled, Pairs
from pipeline.task import kind_of


class EncodeCut(Protocol):
    """Unit vectors of texts, cut at ``max_length_tokens``; None: where the model cuts."""

    def __call__(
        self, texts: Sequence[str], side: str, task: str, *, max_length_tokens: int | None = None
    ) -> Float[np.ndarray, "B D"]: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """``tokens``: a unit vector of each token of each text. ``count``: tokens of each text, special ones too. ``train``: the texts of the
    train rows, for what learns from them; those alone may teach what is then asked about the collections."""

    encode: EncodeCut
    tokens: Callable[[Sequence[str], str, str], list[Float[np.ndarray, "L D"]]]
    count: Callable[[Sequence[str]], list[int]]
    max_length_tokens: int
    collections: Sequence[Collection]
    seed: int
    train: Callable[[], Sequence[str]] = list

    def texts(self) -> list[str]:
        """The documents of all collections, sorted, each once; where there are none, second texts of pairs, else labelled texts."""
        for shape in (Judged, Pairs, Labelled):
            if found := {text for c in self.collections if isinstance(c, shape) for text in c.texts()[0]}:
                return sorted(found)
        return []

    def ranked(self, corpora: Sequence[str] | None = None) -> list[Judged]:
        """The collections in which a query is searched among all documents, of ``corpora`` alone if given."""
        judged = (c for c in self.collections if isinstance(c, Judged) and kind_of(c).searched)
        return [c for c in judged if corpora is None or c.corpus in corpora]


@dataclass(frozen=True, slots=True)
class Measured:
    """A small table: a column for each of ``at`` (numbers, then it is drawn too; or names), a row of values for each name."""

    about: str
    axis: str
    at: list[int] | list[str]
    rows: dict[str, list[float]]
