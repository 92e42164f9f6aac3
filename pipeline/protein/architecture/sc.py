"""SC, sequences concatenation: the chains of both sides as one sequence through the backbone.

Price: the order of chains matters, the cost of attention grows with the square of the complex, and long complexes are cut.
Source: arXiv:2505.20036, by its code.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.protein.architecture.architecture import Architecture, AttentionPooling, Side, output


class SC(Architecture):
    def set_width(self, width: int, head: nn.Module | None) -> None:
        self.head = head
        self.pool = AttentionPooling(width)
        self.output = output(width)

    def texts(self, ligand: str, receptor: str) -> tuple[tuple[str, ...], ...]:
        return ((f"{ligand}:{receptor}",),)

    def forward(self, sides: Sequence[Side]) -> Float[Tensor, " B"]:
        (side,) = sides
        return self.output(self.pool(self.looked_at(side.hidden, side.mask), side.mask)[side.text[:, 0]])[:, 0]
