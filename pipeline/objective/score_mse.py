"""Score regression: a query's cosine with its document, and with each mined negative, is brought to what the teacher gives the pair.

Where `margin_mse` learns differences alone, the place on the scale is learned too, so a threshold of the teacher means something for the
student. Price: the two scales must be made to fit, by ``scale`` and ``shift``.

Source: Barkan et al. 2019, arXiv:1908.05161 (DSE), sec. 3, the squared distance of scores with a product as the student's head; scale
and shift are our own.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective.cosine import own_cosines
from pipeline.objective.negatives import documents_of
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


class ScoreMSE(Objective):
    """The mean of each anchor's squared distances, then over the anchors. ``scale`` times a cosine plus ``shift`` is compared with the
    teacher's score."""

    needs_teacher = True

    def __init__(self, *, scale: float, shift: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}; see conf/objective/score_mse.yaml")
        self.scale = scale
        self.shift = shift

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        assert pairs.teacher is not None, "rows without a teacher's scores are refused before training"
        teacher = pairs.teacher[pairs.anchors]
        index = torch.cat([pairs.positive[pairs.anchors, :1], pairs.negative[pairs.anchors]], dim=1)
        if index.shape != teacher.shape:
            raise ValueError(
                f"score_mse needs a teacher's score of the positive and of each mined negative, got {teacher.shape[1]} scores of "
                f"{index.shape[1]} documents; set num_negatives to what the teacher has scored"
            )
        cosine, given = own_cosines(pairs.query[pairs.anchors], documents_of(pairs, index)), index >= 0
        distance = (self.scale * cosine + self.shift - teacher.to(cosine.dtype)).square() * given
        return (distance.sum(1) / given.sum(1)).mean()
