"""Retention: how alike a model and the model off the shelf see texts that no training row is about.

Two numbers, on the same texts. ``order`` is the rank correlation of the similarities of all pairs of texts; ``neighbours`` is the share
of each text's nearest texts that are still among its nearest. Both are 1 for a model that sees the texts as the other does.
Price: agreement is no quality. A model that sees the texts better than the other also agrees with it less.

Representational similarity as a rank correlation: Kriegeskorte et al. 2008, doi:10.3389/neuro.06.004.2008. The use is our design.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.metric import spearman

NEAREST = 10
LEAST = 3  # texts: of fewer, there are no two similarities to order
_SENTENCES = "general.txt"  # beside this file, which says how it is licensed


def general_texts() -> list[str]:
    """The bundled sentences, which are about no task."""
    lines = Path(__file__).with_name(_SENTENCES).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def spread_out(texts: Sequence[str], most: int) -> list[str]:
    """At most ``most`` of ``texts``, evenly over their sorted order."""
    known = sorted(set(texts))
    return known if len(known) <= most else [known[i * len(known) // most] for i in range(most)]


def agreement(own: Float[np.ndarray, "N D"], other: Float[np.ndarray, "N E"]) -> dict[str, float]:
    """``order`` and ``neighbours`` of unit vectors of the same texts by two models, and the number of ``texts``."""
    if len(own) != len(other) or len(own) < LEAST:
        raise ValueError(f"expected the same {LEAST} texts or more by both models, got {len(own)} and {len(other)}")
    mine, theirs = (vectors.astype(np.float64) @ vectors.T.astype(np.float64) for vectors in (own, other))
    pairs = np.triu_indices(len(mine), 1)
    nearest = min(NEAREST, len(mine) - 2)
    kept = [len(set(a) & set(b)) / nearest for a, b in zip(_nearest(mine, nearest), _nearest(theirs, nearest), strict=True)]
    order = float(spearman(mine[pairs], theirs[pairs]))
    return {"order": order, "neighbours": float(np.mean(kept)), "texts": len(mine)}


def _nearest(similarity: Float[np.ndarray, "N N"], most: int) -> list[list[int]]:
    """Of each text the others that are most similar to it, ties by their place."""
    apart = similarity.copy()
    np.fill_diagonal(apart, -np.inf)
    return np.argsort(-apart, axis=1, kind="stable")[:, :most].tolist()


def least_kept(retention: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The lowest ``order`` over all sets of texts that were looked at; None where there was none."""
    return min((one["order"] for one in retention.values()), default=None)
