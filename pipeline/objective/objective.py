"""What every objective is: `EmbeddedPairs` in, one loss out.

A mean over queries is taken over ``pairs.anchors``; a loss of the whole batch (a correlation, say) is the same on every process.
Either way the mean of what the processes return is the loss of the global batch.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.tensors import EmbeddedPairs


class Objective(nn.Module):
    """What it needs beside the vectors; rows without it are refused before training.

    It may own weights (a learned temperature, a classifier of pairs): they are trained with the encoder, by the same optimizer, and a
    stopped training goes on with them. They are no part of the encoder. ``saves``: an expert's directory keeps them in a file of their
    own (`pipeline.checkpoint.OBJECTIVE`); else, and in phases, they are thrown away.
    """

    needs_score: bool = False
    needs_negatives: bool = False
    needs_teacher: bool = False
    needs_layers: bool = False
    needs_slow: bool = False  # then ``slow_share`` and ``slow_side`` say which vectors of a slow copy of the encoder it gets
    saves: bool = False
    slow_share: float = 0.0  # of its weights, which the copy keeps at a step; the rest is the encoder's
    slow_side: Literal["query", "document"] = "document"

    def check_scores(self, scores: Sequence[float]) -> None:
        """ValueError where the objective cannot read them: before training, of all rows that have one."""

    def check_encoder(self, *, width: int, blocks: int) -> None:
        """ValueError where the encoder's vectors or its number of blocks do not fit: before training."""

    def begin(self, *, width: int, blocks: int) -> None:
        """Make the weights whose shapes follow from the encoder's. Called once, behind `check_encoder`; torch's draws are seeded."""

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        raise NotImplementedError


class Around(Objective):
    """An objective about the ``objective`` inside, which is asked whatever it is asked itself."""

    objective: Objective

    def check_scores(self, scores: Sequence[float]) -> None:
        self.objective.check_scores(scores)

    def check_encoder(self, *, width: int, blocks: int) -> None:
        self.objective.check_encoder(width=width, blocks=blocks)

    def begin(self, *, width: int, blocks: int) -> None:
        self.objective.begin(width=width, blocks=blocks)
