"""2D Matryoshka: any objective on fewer dimensions and after fewer blocks, so that a shallow encoder serves too.

The Matryoshka loss of the last block, and of blocks drawn anew each step, which are also pulled towards the last one.
Price: the vectors of every block are kept until backward; early blocks cost the last one some of its quality.

Source: Li et al. 2024 (2DMSE), arXiv:2402.14776, in the form of sentence-transformers: block ``l`` of those before the last,
counted from 0, weighs ``1 / (1 + l)`` over the number drawn, the divergence its temperature. Ours: the last block stands still in it.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective.cosine import precise
from pipeline.objective.matryoshka import Matryoshka, drawn
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def alignment(early: Float[Tensor, "R D"], last: Float[Tensor, "R D"], *, temperature: float) -> Float[Tensor, ""]:
    """``KL(softmax(last / T) || softmax(early / T))`` over the dimensions of a vector, averaged over all vectors."""
    target, found = ((precise(vectors) / temperature).log_softmax(1) for vectors in (last, early))
    return (target.exp() * (target - found)).sum(1).mean()


class Matryoshka2D(Objective):
    """As `Matryoshka`; ``layers_at_once`` blocks before the last are drawn for a step, None: all.

    ``move_last``: the divergence pulls the last block towards the early ones too, as in the source.
    """

    needs_layers = True

    def __init__(
        self,
        *,
        objective: Objective,
        dims: Sequence[float],
        coefficients: Sequence[float] | None,
        dims_at_once: int | None,
        layers_at_once: int | None,
        kl_temperature: float,
        move_last: bool,
    ) -> None:
        super().__init__()
        if layers_at_once is not None and layers_at_once < 1:
            raise ValueError(f"layers_at_once must be at least 1, got {layers_at_once}; see conf/objective/matryoshka_2d.yaml")
        if kl_temperature <= 0:
            raise ValueError(f"kl_temperature must be positive, got {kl_temperature}; see conf/objective/matryoshka_2d.yaml")
        settings = {"dims": dims, "coefficients": coefficients, "dims_at_once": dims_at_once}
        self.last = Matryoshka(objective=objective, **settings)
        self.early = Matryoshka(objective=copy.deepcopy(objective), **settings)
        self.layers_at_once = layers_at_once
        self.kl_temperature = kl_temperature
        self.move_last = move_last
        for need in ("needs_score", "needs_negatives", "needs_teacher"):
            setattr(self, need, getattr(objective, need))

    def check_scores(self, scores: Sequence[float]) -> None:
        self.last.check_scores(scores)

    def check_encoder(self, *, width: int, blocks: int) -> None:
        self.last.check_encoder(width=width, blocks=blocks)
        if blocks < 2 or (self.layers_at_once or 0) > blocks - 1:
            raise ValueError(
                f"2D Matryoshka draws {self.layers_at_once or 'all'} of the blocks before the last, the encoder has {blocks - 1}; "
                f"lower layers_at_once or take a deeper encoder"
            )

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        self.check_encoder(width=pairs.query.shape[1], blocks=len(pairs.layers))
        num_early = len(pairs.layers) - 1
        last = torch.cat([pairs.query, pairs.document])
        target = last if self.move_last else last.detach()
        loss = self.last(pairs)
        chosen = drawn(num_early, self.layers_at_once, pairs, "layers")
        for i in chosen:
            query, document = pairs.layers[i]
            early = self.early(replace(pairs, query=query, document=document))
            pull = alignment(torch.cat([query, document]), target, temperature=self.kl_temperature)
            loss = loss + early / ((1 + i) * len(chosen)) + self.kl_temperature * pull
        return loss
