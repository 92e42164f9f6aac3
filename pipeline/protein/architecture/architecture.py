"""What every architecture is: token vectors of the two sides of complexes in, one number a complex out (a predicted pKd).

Source of all four: "Beyond Simple Concatenation", arXiv:2505.20036, and its code, whence the initial values of the output. Ours: a
predicted value starts at ``start`` (the mean of the training scores), not at 0, so that few steps suffice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Hidden: TypeAlias = Float[Tensor, "T L D"]
Mask: TypeAlias = Int[Tensor, "T L"]


@dataclass(frozen=True, slots=True)
class Side:
    """Token vectors of one side of a batch of complexes, padded at the right. Each text stands there once, however many complexes it
    is part of: ``text[b, c]`` is the row of the ``c``-th text of complex ``b``, -1 where it has fewer."""

    hidden: Float[Tensor, "T L D"]
    mask: Int[Tensor, "T L"]
    text: Int[Tensor, "B C"]


class Architecture(nn.Module):
    """``head``, if any, looks at the token vectors before they are pooled; it is shared by both sides."""

    output: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.head: nn.Module | None = None

    def set_width(self, width: int, head: nn.Module | None) -> None:
        """Called once with the width of the backbone: weights are made here."""
        raise NotImplementedError

    def texts(self, ligand: str, receptor: str) -> tuple[tuple[str, ...], ...]:
        """By side, what the backbone reads in one go each; chains of a side are joined by ``:``."""
        raise NotImplementedError

    def forward(self, sides: Sequence[Side]) -> Float[Tensor, " B"]:
        raise NotImplementedError

    def looked_at(self, hidden: Hidden, mask: Mask) -> Hidden:
        return hidden if self.head is None else self.head(hidden, mask)

    def start_at(self, value: float) -> None:
        """What is predicted before anything is learned, but for the random weights of the output."""
        nn.init.constant_(self.output.bias, value)


def output(width: int) -> nn.Linear:
    linear = nn.Linear(width, 1)
    nn.init.uniform_(linear.weight, -0.1, 0.1)
    nn.init.zeros_(linear.bias)
    return linear


class AttentionPooling(nn.Module):
    """``sum_l softmax(H w + log M)_l H_l``: one score a vector, no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, hidden: Hidden, mask: Mask) -> Float[Tensor, "T D"]:
        share = self.score(hidden)[..., 0].masked_fill(mask == 0, float("-inf")).softmax(-1)
        return torch.einsum("tl,tld->td", share, hidden)


def joined(left: tuple[Hidden, Mask], right: tuple[Hidden, Mask]) -> tuple[Hidden, Mask]:
    """Row by row, the vectors of ``right`` right behind those of ``left``, no padding between them."""
    hidden, mask = torch.cat([left[0], right[0]], dim=1), torch.cat([left[1], right[1]], dim=1)
    order = torch.argsort(1 - mask, dim=1, stable=True)[:, : int(mask.sum(1).max())]
    return hidden.gather(1, order[..., None].expand(-1, -1, hidden.shape[-1])), mask.gather(1, order)
