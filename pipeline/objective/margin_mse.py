"""Margin-MSE: between a positive and each mined negative, the student's distance must be the teacher's.

Price: the teacher must have scored the positive and every mined negative, and the two scales must be made to fit.

Source: Hofstätter et al. 2020, arXiv:2010.02666, eq. 8.
"""

from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.objective.cosine import own_cosines
from pipeline.objective.negatives import documents_of
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def margin_costs(
    student: Float[Tensor, "R C"], teacher: Float[Tensor, "R C"], given: Bool[Tensor, "R H"]
) -> Float[Tensor, " R"]:
    """Squared differences of the margins from column 0 to each other column that is ``given``, averaged for each row."""
    student_margin, teacher_margin = student[:, :1] - student[:, 1:], teacher[:, :1] - teacher[:, 1:]
    return ((student_margin - teacher_margin).square() * given).sum(1) / given.sum(1).clamp(min=1)


def scored(pairs: EmbeddedPairs) -> tuple[Float[Tensor, "R C"], Float[Tensor, "R C"], Bool[Tensor, "R C"]]:
    """Cosines of the anchors with their main positive and mined negatives, the teacher's scores of these, and which exist."""
    assert pairs.teacher is not None, "rows without a teacher's scores are refused before training"
    positive, negative = pairs.positive[pairs.anchors, :1], pairs.negative[pairs.anchors]
    if negative.shape[1] + 1 != pairs.teacher.shape[1] or not negative.shape[1]:
        raise ValueError(
            f"distillation needs mined negatives and a teacher's score of the positive and of each, got {negative.shape[1]} "
            f"negatives and {pairs.teacher.shape[1]} scores; set num_negatives to what the teacher has scored"
        )
    index = positive.new_empty(len(positive), 1 + negative.shape[1])
    index[:, :1], index[:, 1:] = positive, negative
    return own_cosines(pairs.query[pairs.anchors], documents_of(pairs, index)), pairs.teacher[pairs.anchors], index >= 0


class MarginMSE(Objective):
    """The mean over the anchors; a query without a negative costs nothing. ``scale`` makes cosines the teacher's units."""

    needs_negatives = True
    needs_teacher = True

    def __init__(self, *, scale: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}; see conf/objective/margin_mse.yaml")
        self.scale = scale

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        cosine, teacher, given = scored(pairs)
        return margin_costs(self.scale * cosine, teacher.to(cosine.dtype), given[:, 1:]).mean()
