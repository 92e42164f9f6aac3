"""What a width can hold at all: free vectors, of no text, are trained until every pair of documents is the answer of one query.

``critical`` documents are the most of which the training realises every set of k. With more it fails, however long. So much is the
training's limit: what is possible is another question. Every set of k can be realised for any number of documents from 2k numbers on
(points of a moment curve on a sphere), but with margins that shrink, and no training here finds them.
Price: the sets grow with n^k. Widths up to 6 take minutes; wider ones are for `benchmarks/free_embedding.py`.

Source: Weller et al. 2025, arXiv:2508.21038, section 4 (free embeddings; InfoNCE at 0.1, Adam at 0.01, unit length after each step). Ours:
the loss is the cross-entropy with equal shares for the k answers, and a training ends after ``patience`` steps without a query more.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.behaviour.subject import Measured, Subject

MEASURED = {2: 3, 3: 4, 4: 9, 5: 13, 6: 18}  # documents by width, every pair: docs/claims/measured/free_embedding.json
TEMPERATURE, RATE, BETA = 0.1, 0.01, (0.9, 0.999)


def holds(width: int) -> str:
    """A sentence for a card. A curve through what was measured says nothing sure of widths so far beyond."""
    return (
        f"One vector a text cannot rank every combination of documents first, whatever it was trained on. Free vectors, fitted to the "
        f"answers alone, hold all pairs of {', '.join(map(str, MEASURED.values()))} documents at {min(MEASURED)} to {max(MEASURED)} "
        f"numbers; how many {width} numbers hold was not measured. Where queries combine documents freely, keep a search by words beside."
    )


class FreeEmbedding:
    """``widths`` from 2 on; ``k`` answers a query; ``patience`` and ``steps``: steps without progress, and in all; ``tries``: draws of the
    first vectors, of which one must succeed."""

    def __init__(self, *, widths: Sequence[int], k: int, patience: int, steps: int, tries: int) -> None:
        if not widths or min(widths) < 2 or min(k, patience, steps, tries) < 1:
            raise ValueError(
                f"expected widths of at least 2 and k, patience, steps and tries of at least 1, got {list(widths)}, {k}, {patience}, "
                f"{steps} and {tries}; see conf/behaviour/free_embedding.yaml"
            )
        self.widths = widths
        self.k = k
        self.limits = {"patience": patience, "steps": steps, "tries": tries}

    def measure(self, subject: Subject) -> Measured:
        """The same for every model: of it nothing is asked."""
        found = [float(critical(width, k=self.k, seed=subject.seed, **self.limits)) for width in self.widths]
        about = (
            f"The most documents of which free vectors, fitted to the answers alone, realise every set of {self.k}, by their width. The "
            "vectors of a model also have to say what the texts are about."
        )
        return Measured(about, "numbers a vector", list(self.widths), {"documents": found})


def critical(width: int, *, k: int, patience: int, steps: int, tries: int, seed: int) -> int:
    """Most documents whose every set of ``k`` is realised: doubled until it fails, then halved between."""

    def fits(num: int) -> bool:
        sets = every_set(num, k)
        return any(realised(sets, num, width, patience=patience, steps=steps, seed=seed + one) for one in range(tries))

    low, high = k, k + 1  # of k documents there is one set
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def every_set(num: int, k: int) -> Int[np.ndarray, "Q k"]:
    return np.array(list(combinations(range(num), k)))


def realised(sets: Int[np.ndarray, "Q k"], num: int, width: int, *, patience: int, steps: int, seed: int) -> bool:
    """Whether training finds unit vectors of ``num`` documents and of queries, each of which has its own set first."""
    draw = np.random.default_rng([seed, num, width, len(sets)])
    vectors = np.concatenate([_unit(draw.normal(size=(len(sets), width))), _unit(draw.normal(size=(num, width)))])
    target = np.zeros((len(sets), num))
    np.put_along_axis(target, sets, 1 / sets.shape[1], axis=1)
    first, second = np.zeros_like(vectors), np.zeros_like(vectors)
    best, since = -1, 0
    for step in range(1, steps + 1):
        query, document = vectors[: len(sets)], vectors[len(sets) :]
        score_QN = query @ document.T
        right = int(ranked_first(score_QN, target > 0).sum())
        if right == len(sets):
            return True
        best, since = (right, 0) if right > best else (best, since + 1)
        if since >= patience:
            return False
        gradient_QN = (_softmax(score_QN / TEMPERATURE) - target) / (TEMPERATURE * len(sets))
        gradient = np.concatenate([gradient_QN @ document, gradient_QN.T @ query])
        first = BETA[0] * first + (1 - BETA[0]) * gradient
        second = BETA[1] * second + (1 - BETA[1]) * gradient**2
        moved = (first / (1 - BETA[0] ** step)) / (np.sqrt(second / (1 - BETA[1] ** step)) + 1e-8)
        vectors = _unit(vectors - RATE * moved)
    return False


def ranked_first(score_QN: Float[np.ndarray, "Q N"], wanted: Bool[np.ndarray, "Q N"]) -> Bool[np.ndarray, " Q"]:
    """Whether each wanted document scores higher than every other."""
    lowest = np.where(wanted, score_QN, np.inf).min(axis=1)
    return lowest > np.where(wanted, -np.inf, score_QN).max(axis=1)


def _unit(vectors: Float[np.ndarray, "B D"]) -> Float[np.ndarray, "B D"]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _softmax(score: Float[np.ndarray, "Q N"]) -> Float[np.ndarray, "Q N"]:
    powers = np.exp(score - score.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
