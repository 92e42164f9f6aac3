"""Affinity of the nearest train complexes: the mean of their pKd, and nothing is learned. What a split that leaks gives away.

Near: the mean of the two sides' cosines of counts of ``letters`` residues in a row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from pipeline.corpus.collection import Collection, Complexes


class Nearest:
    """The mean over the ``neighbours`` nearest; complexes as near as the last of these are all counted in."""

    def __init__(self, *, letters: int, neighbours: int) -> None:
        if letters < 1 or neighbours < 1:
            raise ValueError(
                f"letters and neighbours must be 1 or more, got {letters} and {neighbours}; see conf/baseline/nearest.yaml"
            )
        self.letters = letters
        self.neighbours = neighbours

    def answer(self, evaluator: Any, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]] | None:
        """``(scores, items)`` as ``evaluator`` gives them; None for tasks without complexes to learn from."""
        if not isinstance(collection, Complexes) or not collection.trained:
            return None
        _, ligands, receptors, scores = (list(part) for part in zip(*collection.trained, strict=True))
        counter = CountVectorizer(analyzer="char", ngram_range=(self.letters, self.letters), lowercase=False)
        counter.fit([*ligands, *receptors])
        known = self._profiles(counter, ligands, receptors)
        value = np.asarray(scores, dtype=float)

        def predict(ligand: Sequence[str], receptor: Sequence[str]) -> Float[np.ndarray, " N"]:
            return self._means((self._profiles(counter, ligand, receptor) @ known.T).tocsr(), value)

        return evaluator.evaluate(predict, collection)

    def _profiles(self, counter: CountVectorizer, ligands: Sequence[str], receptors: Sequence[str]) -> Any:
        """The sides beside each other: an inner product of two complexes is the sum of the sides' cosines."""
        return scipy.sparse.hstack([normalize(counter.transform(list(side))) for side in (ligands, receptors)]).tocsr()

    def _means(self, near_NT: Any, value: Float[np.ndarray, " T"]) -> Float[np.ndarray, " N"]:
        num = min(self.neighbours, len(value))
        found = np.empty(near_NT.shape[0])
        for i in range(len(found)):
            near = np.zeros(len(value))
            near[near_NT.indices[near_NT.indptr[i] : near_NT.indptr[i + 1]]] = near_NT.data[
                near_NT.indptr[i] : near_NT.indptr[i + 1]
            ]
            least = np.partition(near, -num)[-num]
            found[i] = value[near >= least - 1e-9].mean()
        return found
