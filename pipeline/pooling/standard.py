"""The poolings that sentence-transformers has: mean, cls, max, lasttoken, weightedmean, mean_sqrt_len_tokens.

``weightedmean`` counts a token by its position (Muennighoff 2022, SGPT, arXiv:2202.08904, eq. 2). ``lasttoken`` is for causal decoders,
in which no other token has read the whole text; texts should end with the tokenizer's end token.
"""

from typing import Literal

from sentence_transformers.sentence_transformer.modules import Pooling


def standard(
    width: int, *, mode: Literal["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"]
) -> Pooling:
    """One of the poolings of sentence-transformers."""
    return Pooling(width, mode)
