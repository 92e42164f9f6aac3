"""Task arithmetic: the base and a multiple of the sum of the task vectors.

Price: the sum grows with the number of experts, so ``norm`` must be chosen for that number.

Source: Ilharco et al. 2023, arXiv:2212.04089.
"""

from collections.abc import Sequence

from pipeline.delta import Models
from pipeline.merging.method import Linear


class TaskArithmetic(Linear):
    """``base + norm * sum delta_k``."""

    def __init__(self, *, norm: float) -> None:
        super().__init__()
        self.norm = norm

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        return {"all": [self.norm] * len(models.experts)}
