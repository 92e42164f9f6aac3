"""Cosines that no autocast rounds: those of positives, of negatives and of pairs have one precision, float32 at least.

In bfloat16 a cosine has a step of 1/256 near 1, which a temperature of 0.02 makes 0.2 of a logit.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def precise(vectors: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The vectors in float32 at least; float64 stays."""
    return vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors


def pair_cosines(left: Float[Tensor, "B D"], right: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """The cosine of each row of unit length with the row beside it."""
    return own_cosines(left, right[:, None])[:, 0]


def own_cosines(query: Float[Tensor, "R D"], document: Float[Tensor, "R P D"]) -> Float[Tensor, "R P"]:
    """The cosines of each query with documents of its own; all rows have unit length."""
    with torch.autocast(query.device.type, enabled=False):
        return torch.einsum("rd,rpd->rp", precise(query), precise(document))


def all_cosines(query: Float[Tensor, "R D"], document: Float[Tensor, "N D"]) -> Float[Tensor, "R N"]:
    """The cosines of each query with every document; all rows have unit length."""
    with torch.autocast(query.device.type, enabled=False):
        return precise(query) @ precise(document).T
