"""A linear head behind the pooling: vectors of another width than the backbone's, learned with it.

It is sentence-transformers' own `Dense`, so the directory loads everywhere. Rows of the weight begin orthogonal, each of length 1 (columns
where there are more rows): a projection that turns and drops directions, and stretches none. So cosines begin near those without it.
Price: a base that no phase trains has a head that has learned nothing.

Source: a projection head behind the encoder: Chen et al. 2020 (SimCLR), arXiv:2002.05709, section 2.1. Kept in the model, as
sentence-transformers does; there it is thrown away. The start is our design.
"""

from typing import Annotated, Literal

from pydantic import Field
from sentence_transformers.sentence_transformer.modules import Dense
from torch import nn


def dense(
    embedding_dimension: int, *, width: Annotated[int, Field(gt=0)], bias: bool, activation: Literal["none", "tanh"]
) -> Dense:
    """Vectors of ``embedding_dimension`` numbers to vectors of ``width``."""
    made = Dense(
        embedding_dimension, width, bias=bias, activation_function=nn.Tanh() if activation == "tanh" else nn.Identity()
    )
    nn.init.orthogonal_(made.linear.weight)
    if bias:
        nn.init.zeros_(made.linear.bias)
    return made
