"""Model Stock: as far from the base to the experts' mean as the angle between the experts allows.

Wide angles mean that the experts agree in little but the base. One expert has no angle: it is given back.

Source: Jang et al. 2024, arXiv:2403.19522, eq. 4; several experts: their appendix. Cosine: the mean over pairs.
"""

from collections.abc import Sequence

import torch

from pipeline.delta import Models
from pipeline.merging.method import Linear


class ModelStock(Linear):
    """``t * mean of the experts + (1 - t) * base`` per tensor, ``t = K cos / (1 + (K - 1) cos)``, kept in [0, 1].

    Below cosine 0 the formula leaves [0, 1] and has a pole at ``-1 / (K - 1)``: the base's tensor is taken there. An expert that did
    not move a tensor has no angle; it counts as at a right one (cosine 0) to each other.
    """

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        num = len(models.experts)
        found: dict[str, Sequence[float]] = {}
        for name, gram in models.grams().items():
            inner = gram[1:, 1:]
            length = inner.diagonal().clamp(min=1e-30).sqrt()
            cosines = inner / (length[:, None] * length[None, :])
            pairs = cosines[*torch.triu_indices(num, num, 1)]
            cosine = min(1.0, max(0.0, float(pairs.mean()))) if num > 1 else 1.0
            found[name] = [cosine / (1 + (num - 1) * cosine)] * num  # t / K
        return found
