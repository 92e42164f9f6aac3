"""Graded similarity: do cosines rank pairs as people (or the docs' authors) did? Spearman's rank correlation."""

from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.corpus.collection import Collection, Encode
from pipeline.metric import spearman


class Sts:
    task = "sts"
    main = "spearman"

    def evaluate(self, encode: Encode, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``: Spearman over all pairs, and per pair its id, cosine and gold score."""
        left = encode([pair[1] for pair in collection.pairs], "query", "sts")
        right = encode([pair[2] for pair in collection.pairs], "document", "sts")
        cosine = (left * right).sum(-1).astype(np.float64)
        if not np.isfinite(cosine).all():
            raise ValueError(f"{collection.corpus}: the model gives NaN for pair {int(np.argmin(np.isfinite(cosine)))}")
        gold = [pair[3] for pair in collection.pairs]
        items = {"id": [pair[0] for pair in collection.pairs], "cosine": cosine.tolist(), "score": gold}
        return {"spearman": float(spearman(cosine, np.asarray(gold)))}, items

    def resampled(self, items: dict[str, Any], index: np.ndarray) -> Float[np.ndarray, " R"]:
        """The main score on each draw of pairs."""
        return spearman(np.asarray(items["cosine"])[index], np.asarray(items["score"])[index])
