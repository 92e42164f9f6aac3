"""Distillation of a ranking: over the positive and the mined negatives the student's shares must be the teacher's.

Price: the teacher must have scored them all; documents of other queries teach nothing.

Source: Hinton et al. 2015, arXiv:1503.02531, on the candidates of a query as in Ren et al. 2021 (RocketQAv2), arXiv:2110.07367, eq. 6.
"""

from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.objective.margin_mse import scored
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def kl_costs(student: Float[Tensor, "R C"], teacher: Float[Tensor, "R C"], given: Bool[Tensor, "R C"]) -> Float[Tensor, " R"]:
    """``KL(softmax(teacher) || softmax(student))`` of each row, over the columns that are ``given``."""
    ours, theirs = (logits.masked_fill(~given, float("-inf")).log_softmax(1) for logits in (student, teacher))
    return (theirs.exp() * (theirs - ours).masked_fill(~given, 0.0)).sum(1)


class TeacherKL(Objective):
    """The mean over the anchors; a query without a negative costs nothing."""

    needs_negatives = True
    needs_teacher = True

    def __init__(self, *, temperature: float, teacher_temperature: float) -> None:
        super().__init__()
        if temperature <= 0 or teacher_temperature <= 0:
            given = f"{temperature} and {teacher_temperature}"
            raise ValueError(f"temperatures must be positive, got {given}; see conf/objective/teacher_kl.yaml")
        self.temperature = temperature
        self.teacher_temperature = teacher_temperature

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        cosine, teacher, given = scored(pairs)
        return kl_costs(cosine / self.temperature, teacher.to(cosine.dtype) / self.teacher_temperature, given).mean()
