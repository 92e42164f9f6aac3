"""What every objective is: `EmbeddedPairs` in, one loss out.

A mean over queries is taken over ``pairs.anchors``; a loss of the whole batch (a correlation, say) is the same on every process.
Either way the mean of what the processes return is the loss of the global batch.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.tensors import EmbeddedPairs


class Objective(nn.Module):
    """What it needs beside the vectors; rows without it are refused before training."""

    needs_score: bool = False
    needs_negatives: bool = False
    needs_teacher: bool = False
    needs_layers: bool = False

    def check_scores(self, scores: Sequence[float]) -> None:
        """ValueError where the objective cannot read them: before training, of all rows that have one."""

    def check_encoder(self, *, width: int, blocks: int) -> None:
        """ValueError where the encoder's vectors or its number of blocks do not fit: before training."""

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        raise NotImplementedError
