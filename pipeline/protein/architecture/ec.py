"""EC, embeddings concatenation: each side by itself through the backbone, then the two together.

Price: tokens of one side never see those of the other before the head.
Source: arXiv:2505.20036, by its code.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.protein.architecture.architecture import Architecture, AttentionPooling, Side, joined, output


class EC(Architecture):
    """``concat_first``: token vectors are joined along the length and pooled once; otherwise each side is pooled, and the two vectors
    stand side by side."""

    def __init__(self, *, concat_first: bool) -> None:
        super().__init__()
        self.concat_first = concat_first

    def set_width(self, width: int, head: nn.Module | None) -> None:
        self.head = head
        self.pool = AttentionPooling(width)
        wide = width if self.concat_first else 2 * width
        self.between = nn.Sequential(nn.Linear(wide, wide), nn.SiLU())
        self.output = output(wide)

    def texts(self, ligand: str, receptor: str) -> tuple[tuple[str, ...], ...]:
        return (ligand,), (receptor,)

    def forward(self, sides: Sequence[Side]) -> Float[Tensor, " B"]:
        if self.concat_first:
            left, right = ((side.hidden[side.text[:, 0]], side.mask[side.text[:, 0]]) for side in sides)
            hidden, mask = joined(left, right)
            vector = self.pool(self.looked_at(hidden, mask), mask)
        else:
            pooled = [self.pool(self.looked_at(side.hidden, side.mask), side.mask)[side.text[:, 0]] for side in sides]
            vector = torch.cat(pooled, dim=-1)
        return self.output(self.between(vector))[:, 0]
