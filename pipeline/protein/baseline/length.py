"""Affinity told from the lengths of the chains alone: least squares on the train complexes, and no residue is looked at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.corpus.collection import Collection, Complexes


class Length:
    def answer(self, evaluator: Any, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]] | None:
        """``(scores, items)`` as ``evaluator`` gives them; None for tasks without complexes to learn from."""
        if not isinstance(collection, Complexes) or not collection.trained:
            return None
        ids, ligands, receptors, scores = zip(*collection.trained, strict=True)
        del ids
        slope = np.linalg.lstsq(features(ligands, receptors), np.asarray(scores), rcond=None)[0]
        return evaluator.evaluate(lambda ligand, receptor: features(ligand, receptor) @ slope, collection)


def features(ligands: Sequence[str], receptors: Sequence[str]) -> Float[np.ndarray, "N F"]:
    """1, and of each side the logarithm of its residues and its chains."""
    columns = [np.ones(len(ligands))]
    for side in (ligands, receptors):
        columns.append(np.log([1 + len(text.replace(":", "")) for text in side]))
        columns.append(np.asarray([1.0 + text.count(":") for text in side]))
    return np.stack(columns, axis=1)
