"""The tensors that objectives see."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class EmbeddedPairs:
    """Representations of one global batch of a single task.

    Rows have unit length. ``positive[i]`` is the row of ``document`` that answers query ``i``; the other rows are its
    negatives, in-batch ones first, mined ones behind. ``score`` is the graded similarity, None where the task has none.
    """

    query: Float[Tensor, "B D"]
    document: Float[Tensor, "N D"]
    positive: Int[Tensor, " B"]
    score: Float[Tensor, " B"] | None
