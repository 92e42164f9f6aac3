"""Translations: is each text's nearest neighbour on the other side its own translation? F1 as mteb weighs it.

Source: Artetxe and Schwenk 2019, arXiv:1812.10464, sec. 4.3, by cosine.
"""

from typing import Any

import numpy as np

from pipeline.corpus.collection import Encode, Pairs
from pipeline.evaluator.items import MeanOfItems, finite


class Bitext(MeanOfItems):
    """``block``: queries compared at once."""

    kind = "bitext"
    main = "f1"

    def __init__(self, *, block: int) -> None:
        if block < 1:
            raise ValueError(f"block must be at least 1, got {block}; see conf/evaluator/bitext.yaml")
        self.block = block

    def evaluate(self, encode: Encode, collection: Pairs) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``; an item is a pair: F1 of its translation as a class of its own, found right and called how often; and whose
        translation is nearest."""
        left = finite(encode([pair[1] for pair in collection.pairs], "query", collection.task), "query")
        right = finite(
            encode([pair[2] for pair in collection.pairs], "query", collection.task), "document"
        )  # as mteb: no side leads
        chosen = np.concatenate([(left[i : i + self.block] @ right.T).argmax(1) for i in range(0, len(left), self.block)])
        correct = chosen == np.arange(len(chosen))
        f1 = 2 * correct / (1 + np.bincount(chosen, minlength=len(chosen)))
        ids = [pair[0] for pair in collection.pairs]
        items = {"id": ids, self.main: f1.tolist(), "first": [ids[row] for row in chosen]}
        return {self.main: float(f1.mean()), "accuracy": float(correct.mean())}, items
