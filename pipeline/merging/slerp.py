"""SLERP of task vectors: along the arc between them, so that the mixture is as long as they are.

For more than two, one after the other: the k-th is joined to the arc of those before it with the share 1/2, the rule of
sequential SLERP with equal coefficients in Self Positioning (arXiv:2410.15035), so the order counts.

Source: Shoemake 1985, doi:10.1145/325165.325242; on task vectors: arXiv:2410.15035.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from pipeline.delta import State, combined, gram


class Slerp(nn.Module):
    """``base + norm * slerp(task vectors)``, the angle taken over all parameters together."""

    def __init__(self, *, norm: float, linear_above: float) -> None:
        super().__init__()
        if norm < 0:
            raise ValueError(f"norm must not be negative, got {norm}; see conf/method/slerp.yaml")
        if not 0 < linear_above < 1:
            raise ValueError(f"linear_above is a |cosine| in (0, 1), got {linear_above}; see conf/method/slerp.yaml")
        self.norm = norm
        self.linear_above = linear_above

    def coefficients(self, deltas: Sequence[State]) -> list[float]:
        """What each task vector is multiplied by; they depend on the task vectors through their Gram matrix alone."""
        inner = gram(deltas).tolist()
        c = [1.0] + [0.0] * (len(deltas) - 1)
        for k in range(1, len(deltas)):
            length = math.sqrt(max(0.0, sum(c[i] * c[j] * inner[i][j] for i in range(k) for j in range(k))))
            between = length * math.sqrt(inner[k][k])
            cosine = sum(c[i] * inner[i][k] for i in range(k)) / between if between > 0 else 1.0
            share = 0.5
            if abs(cosine) > self.linear_above:
                old, new = 1 - share, share
            else:
                angle = math.acos(cosine)
                old, new = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
            c = [old * value for value in c]
            c[k] = new
        return [self.norm * value for value in c]

    def forward(self, base: State, deltas: Sequence[State]) -> dict[str, Tensor]:
        return combined(base, deltas, self.coefficients(deltas))
