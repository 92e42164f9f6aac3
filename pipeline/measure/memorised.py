"""How many evaluation texts stand in train in other words: a measurement, by a model; nothing is taken out.

Every text is encoded once. An evaluation text whose nearest train text has a cosine of 0.95 or more counts as one that a model
could have learned by heart, whatever its wording. Beside it stands how many of these a comparison of letters would have found.
A cosine is a model's opinion: texts that differ in one name or number can reach it too, so the pairs are shown, to be read.

Source: SYSTEMS row 46 (2025), which finds string matching to miss most of what nearest neighbours show.
"""

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.corpus.row import Row

BLOCK_TEXTS = 2_048
BINS = 10  # of the histogram, from cosine 0 to 1


class Memorised:
    """``model`` turns texts into unit vectors. ``letters``: edit similarity (`difflib`, 0 to 1) that counts as the same wording."""

    def __init__(
        self, *, model: Callable[[Sequence[str]], Float[np.ndarray, "B D"]], cosine: float, letters: float, max_shown: int
    ) -> None:
        for name, share in (("cosine", cosine), ("letters", letters)):
            if not 0 < share <= 1:
                raise ValueError(
                    f"{name} must be in (0, 1], got {share}; write 0.95 for 95 percent (conf/measure/memorised.yaml)"
                )
        self.model = model
        self.cosine = cosine
        self.letters = letters
        self.max_shown = max_shown

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], normal: Callable[[str], str]) -> dict[str, Any]:
        """Counts, the pairs nearest to each other, and ``nearest``: evaluation texts by cosine of their nearest train text."""
        known, asked = _texts(train), _texts(evaluation)
        nearest, cosine = self._nearest([normal(text) for text in known], [normal(text) for text in asked])
        flagged = np.flatnonzero(cosine >= self.cosine)
        pairs = [(round(float(cosine[i]), 4), known[nearest[i]], asked[i]) for i in flagged]
        letters = [
            round(SequenceMatcher(None, normal(left), normal(right), autojunk=False).ratio(), 4) for _, left, right in pairs
        ]
        shown = sorted(zip(pairs, letters, strict=True), key=lambda one: (one[1], *one[0]))[: self.max_shown]
        counts, _ = np.histogram(np.clip(cosine, 0, 1), bins=BINS, range=(0, 1))
        return {
            "texts": len(asked),
            "cosine": self.cosine,
            "near_in_meaning": len(pairs),
            "of_these_near_in_letters": sum(value >= self.letters for value in letters),
            "nearest": counts.tolist(),
            "least_alike": [
                {"cosine": pair[0], "letters": value, "train": pair[1], "evaluation": pair[2]} for pair, value in shown
            ],
        }

    def _nearest(self, known: list[str], asked: list[str]) -> tuple[np.ndarray, Float[np.ndarray, " E"]]:
        """For each of ``asked`` the place of the nearest of ``known`` (the first of equals), and the cosine."""
        if not known or not asked:
            return np.zeros(len(asked), np.int64), np.zeros(len(asked))
        vector_TD, vector_ED = self.model(known), self.model(asked)
        place, cosine = np.zeros(len(asked), np.int64), np.full(len(asked), -1.0)
        for first in range(0, len(known), BLOCK_TEXTS):
            sim_EB = vector_ED @ vector_TD[first : first + BLOCK_TEXTS].T
            best = sim_EB.argmax(axis=1)
            value = sim_EB[np.arange(len(asked)), best]
            better = value > cosine
            place[better], cosine[better] = best[better] + first, value[better]
        return place, cosine


def _texts(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(text for row in rows for text in (row.query, row.document)))
