"""Spread out: any objective, and beside it a term that keeps texts which do not belong together at right angles.

Vectors that fill all directions lose less when numbers become bytes or bits. The term is the mean squared cosine of a query with the
other queries, and of its answer with the other documents, all but what belongs to them. Price: it pulls against an objective that wants
few texts very near; and two more tables of similarities for a batch.

Source: Zhang et al. 2017, arXiv:1708.06320, eq. 5, of whose two moments the second; on both sides of a pair, and without the allowance of
1/D, which is our own choice.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pipeline.objective.candidates import Entries
from pipeline.objective.cosine import all_cosines
from pipeline.objective.negatives import documents_of, no_negative_documents, no_negative_twins
from pipeline.objective.objective import Around, Objective
from pipeline.tensors import EmbeddedPairs


def second_moments(
    anchor: Float[Tensor, "R D"], candidate: Float[Tensor, "N D"], row: Tensor, column: Tensor
) -> Float[Tensor, " R"]:
    """Of each anchor the mean squared cosine with the candidates that are not left out (``row``, ``column``); 0 where none is left."""
    square = all_cosines(anchor, candidate).square()
    kept = torch.ones_like(square).index_put((row, column), square.new_zeros(()))
    return (square * kept).sum(1) / kept.sum(1).clamp(min=1)


class SpreadOut(Around):
    """``objective`` plus ``weight`` times the mean over the anchors of `second_moments` on both sides."""

    def __init__(self, *, objective: Objective, weight: float) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(
                f"weight must be 0 (the objective itself) or more, got {weight}; see conf/objective/spread_out.yaml"
            )
        self.objective = objective
        self.weight = weight
        needs = (
            "needs_score",
            "needs_negatives",
            "needs_teacher",
            "needs_layers",
            "needs_slow",
            "slow_share",
            "slow_side",
            "saves",
        )
        for need in needs:
            setattr(self, need, getattr(objective, need))

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        return self.objective(pairs) + self.weight * spread(pairs).mean()


def spread(pairs: EmbeddedPairs) -> Float[Tensor, " R"]:
    """Of each anchor, `second_moments` of the query and of its main document, some anchors at a time."""
    first, last, _ = pairs.anchors.indices(len(pairs.query))
    parts = [slice(start, min(start + pairs.rows_at_once, last)) for start in range(first, last, pairs.rows_at_once)]
    return torch.cat([_of_rows(pairs, rows, again=len(parts) > 1) for rows in parts])


def _of_rows(pairs: EmbeddedPairs, rows: slice, *, again: bool) -> Float[Tensor, " R"]:
    """``again``: backward makes the similarities anew."""

    def moments(anchor: Tensor, candidate: Tensor, left_out: Entries) -> Tensor:
        given = (anchor, candidate, *left_out)
        found = (
            checkpoint(second_moments, *given, use_reentrant=False, preserve_rng_state=False)
            if again
            else second_moments(*given)
        )
        assert isinstance(found, Tensor)
        return found

    main = documents_of(pairs, pairs.positive[rows, :1])[:, 0]
    queries = moments(pairs.query[rows], pairs.query, no_negative_twins(pairs, rows))
    return queries + moments(main, pairs.document, no_negative_documents(pairs, rows, 0))
