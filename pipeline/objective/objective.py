"""What every objective is: `EmbeddedPairs` in, one loss out.

A mean over queries is taken over ``pairs.anchors``; a loss of the whole batch (a correlation, say) is the same on every process.
Either way the mean of what the processes return is the loss of the global batch.
"""

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.tensors import EmbeddedPairs


class Objective(nn.Module):
    """What it needs beside the vectors; rows without it are refused before training."""

    needs_score: bool = False
    needs_negatives: bool = False
    needs_teacher: bool = False
    needs_layers: bool = False

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        raise NotImplementedError
