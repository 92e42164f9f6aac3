"""How a model's vectors lie on the sphere, whatever the task: measured, not judged.

Sources: alignment and uniformity, Wang and Isola 2020, arXiv:2005.10242, eq. 5 and 6; RankMe, Garrido et al. 2023,
arXiv:2210.02885, eq. 1; isotropy, Mu and Viswanath 2018, arXiv:1702.01417, eq. 1.
"""

import numpy as np
from jaxtyping import Float


def geometry(vectors: Float[np.ndarray, "N D"]) -> dict[str, float]:
    """Of unit vectors of different texts; those of one text leave nothing to measure, so at least two."""
    if len(vectors) < 2:
        raise ValueError(f"geometry needs two texts or more, got {len(vectors)}")
    vectors = vectors.astype(np.float64)
    spread = np.linalg.svd(vectors, compute_uv=False)
    share = spread / spread.sum() + 1e-7  # as in the paper
    entropy = float(-(share * np.log(share)).sum())
    centred = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False)
    kept = centred[centred > centred[0] * 1e-6]  # below: rounding
    return {
        "uniformity": uniformity(vectors),
        "rankme": float(np.exp(entropy)),
        "singular_entropy": entropy / float(np.log(len(spread))),  # 1: all directions alike
        "condition_number": float(kept[0] / kept[-1]) if len(kept) else 0.0,  # 0: all texts have one vector
        "isotropy": isotropy(vectors),
    }


def alignment(left: Float[np.ndarray, "N D"], right: Float[np.ndarray, "N D"]) -> float:
    """Mean squared distance of two texts that belong together; 0 is the least."""
    return float(((left.astype(np.float64) - right) ** 2).sum(1).mean())


def uniformity(vectors: Float[np.ndarray, "N D"]) -> float:
    """Logarithm of the mean of exp(-2 squared distance) over all pairs of different texts; below 0, lower is more even."""
    cosine = vectors @ vectors.T
    pairs = np.triu_indices(len(vectors), 1)
    return float(np.log(np.exp(-4 * (1 - cosine[pairs])).mean()))  # unit length: squared distance is 2 - 2 cosine


def isotropy(vectors: Float[np.ndarray, "N D"]) -> float:
    """Smallest over largest partition function along the eigenvectors of the Gram matrix; 1: no direction stands out."""
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    partition = np.exp(vectors @ directions).sum(0)
    return float(partition.min() / partition.max())
