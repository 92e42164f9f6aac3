"""HP, hierarchical pooling: residues of a chain into one vector, chains of a side into one vector, then both sides.

The order of chains within a side changes nothing. Where a side is one chain, or its chains are joined without a mark, no hierarchy is
left. Price: chains do not see each other before they are single vectors.
Source: arXiv:2505.20036, by its code; both poolings are shared by the two sides.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.protein.architecture.architecture import Architecture, AttentionPooling, Side, output


class HP(Architecture):
    def set_width(self, width: int, head: nn.Module | None) -> None:
        self.head = head
        self.residues, self.chains = AttentionPooling(width), AttentionPooling(width)
        wide = 2 * width
        self.between = nn.Sequential(nn.Linear(wide, wide, bias=False), nn.SiLU(), nn.Linear(wide, wide, bias=False))
        self.output = output(wide)

    def texts(self, ligand: str, receptor: str) -> tuple[tuple[str, ...], ...]:
        return tuple(ligand.split(":")), tuple(receptor.split(":"))

    def forward(self, sides: Sequence[Side]) -> Float[Tensor, " B"]:
        vectors = []
        for side in sides:
            chain_TD = self.residues(self.looked_at(side.hidden, side.mask), side.mask)
            vectors.append(self.chains(chain_TD[side.text.clamp(min=0)], (side.text >= 0).long()))
        return self.output(self.between(torch.cat(vectors, dim=-1)))[:, 0]
