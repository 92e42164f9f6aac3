"""AnglE: graded pairs ordered by an angle in complex space, where the cosine saturates.

The sum of three losses of the whole batch: `cosent` of cosines, `cosent` of complex angles, and InfoNCE over the best pairs.
Price: one more pair of scales and coefficients to choose; the first half of the vector is read as real, the second as imaginary.

Source: Li and Li 2023 (AnglE), arXiv:2309.12871, eq. 3-7. Of its trainer are the coefficients and the form of the third loss: all
2 B texts are anchors, the other 2 B - 1 are their candidates, an anchor must find the other text of its pair, and pairs below
``best_from`` cost 0 but count in the mean over 2 B. Ours: candidates that belong to either text of the anchor's pair are left out
(`pipeline.objective.negatives`), where the trainer knows no text but by its place; and the angle of a vector of length 0 is 0.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.objective.candidates import all_of, belonging, log_sum, share_cost
from pipeline.objective.cosent import cosent
from pipeline.objective.cosine import pair_cosines, precise
from pipeline.objective.negatives import no_negatives
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def angle_similarity(x: Float[Tensor, "B D"], y: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """``|sum re + sum im|`` of the quotient ``x / y`` of complex vectors, over the quotient of their lengths; 0 where a length is 0."""
    x, y = precise(x), precise(y)
    a, b = x.chunk(2, dim=-1)
    c, d = y.chunk(2, dim=-1)
    real, imaginary = (a * c + b * d).sum(-1), (b * c - a * d).sum(-1)
    lengths = torch.linalg.vector_norm(x, dim=-1) * torch.linalg.vector_norm(y, dim=-1)  # their gradient at 0 is 0
    return (real + imaginary).abs() / torch.where(lengths > 0, lengths, 1.0)


def in_batch_cost(pairs: EmbeddedPairs, best: Bool[Tensor, " B"], *, temperature: float) -> Float[Tensor, ""]:
    """InfoNCE of both texts of the ``best`` pairs among all texts of all pairs, over the number of texts."""
    main = pairs.positive[:, 0]
    document = pairs.document.index_select(0, main)
    every, text = torch.cat([pairs.query, document]), torch.cat([pairs.query_text, pairs.document_text[main]])
    place = torch.cat([torch.full_like(main, -1), main])
    own = best.nonzero().squeeze(1)
    row, column = all_of(no_negatives(pairs, own, text, place), belonging(pairs.document_text[main[own]], text, pairs.known))
    both = torch.cat([row, row + len(own)]), torch.cat([column, column])
    anchors = torch.cat([pairs.query[own], document[own]])
    others = log_sum(anchors, every, both, temperature=temperature, rows_at_once=pairs.rows_at_once)
    match = pair_cosines(pairs.query[own], document[own]) / temperature
    return share_cost(match.repeat(2), others).sum() / len(every)


class AnglE(Objective):
    """``best_from``: the score from which on a pair is a positive for InfoNCE."""

    needs_score = True

    def __init__(
        self,
        *,
        cosine: float,
        cosine_scale: float,
        angle: float,
        angle_scale: float,
        in_batch: float,
        temperature: float,
        best_from: float,
    ) -> None:
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
        loss = self.cosine * cosent(pair_cosines(pairs.query, document), pairs.score, scale=self.cosine_scale)
        loss = loss + self.angle * cosent(angle_similarity(pairs.query, document), pairs.score, scale=self.angle_scale)
        if self.in_batch:
            best = pairs.score >= self.best_from
            loss = loss + self.in_batch * in_batch_cost(pairs, best, temperature=self.temperature)
        return loss
