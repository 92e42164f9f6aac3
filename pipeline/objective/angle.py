"""AnglE: graded pairs ordered by an angle in complex space, where the cosine saturates.

The sum of three losses of the whole batch: `cosent` of cosines, `cosent` of complex angles, and InfoNCE over the best pairs.
Price: one more pair of scales and coefficients to choose; the first half of the vector is read as real, the second as imaginary.

Source: Li and Li 2023 (AnglE), arXiv:2309.12871, eq. 3-7, in the form and with the coefficients of its trainer.
"""

from jaxtyping import Float
from torch import Tensor

from pipeline.objective.cosent import cosent
from pipeline.objective.infonce import best_pairs_cost
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def angle_similarity(x: Float[Tensor, "B D"], y: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """``|sum re + sum im|`` of the quotient ``x / y`` of complex vectors, over the quotient of their lengths."""
    a, b = x.chunk(2, dim=-1)
    c, d = y.chunk(2, dim=-1)
    length_x, length_y = x.square().sum(-1).sqrt(), y.square().sum(-1).sqrt()
    real, imaginary = (a * c + b * d).sum(-1), (b * c - a * d).sum(-1)
    return (real + imaginary).abs() / length_y.square() / (length_x / length_y)


class AnglE(Objective):
    """``best_from``: the score from which on a pair is a positive for InfoNCE."""

    needs_score = True

    def __init__(
        self, *, cosine: float, cosine_scale: float, angle: float, angle_scale: float,
        in_batch: float, temperature: float, best_from: float,
    ) -> None:  # fmt: skip
        super().__init__()
        where = "see conf/objective/angle.yaml"
        if min(cosine_scale, angle_scale, temperature) <= 0:
            given = (cosine_scale, angle_scale, temperature)
            raise ValueError(f"cosine_scale, angle_scale and temperature must be positive, got {given}; {where}")
        if min(cosine, angle, in_batch) < 0 or not cosine + angle + in_batch:
            raise ValueError(f"coefficients must be 0 or more, one of them more, got {(cosine, angle, in_batch)}; {where}")
        self.cosine = cosine
        self.cosine_scale = cosine_scale
        self.angle = angle
        self.angle_scale = angle_scale
        self.in_batch = in_batch
        self.temperature = temperature
        self.best_from = best_from

    def check_encoder(self, *, width: int, blocks: int) -> None:
        if width % 2:
            raise ValueError(f"AnglE reads half of a vector as imaginary, but its width is {width}; it must be even")

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        assert pairs.score is not None, "rows without a score are refused before training"
        self.check_encoder(width=pairs.query.shape[1], blocks=len(pairs.layers))
        document = pairs.document.index_select(0, pairs.positive[:, 0])
        loss = self.cosine * cosent((pairs.query * document).sum(-1), pairs.score, scale=self.cosine_scale)
        loss = loss + self.angle * cosent(angle_similarity(pairs.query, document), pairs.score, scale=self.angle_scale)
        if self.in_batch:
            best = pairs.score >= self.best_from
            cost = best_pairs_cost(pairs, pairs.query, pairs.document, best, temperature=self.temperature)
            loss = loss + self.in_batch * cost
        return loss
