"""PAD, pooled attention addition: residues of each side look at those of the other, then both are pooled and added.

    H_L' = H_L + MHA(q=H_L, k=v=H_R)    H_R' = H_R + MHA(q=H_R, k=v=H_L)    z = pool(H_L') + pool(H_R')

Attention and pooling are shared by the two sides, so ligand and receptor may change places. Price: attention between the sides of
each complex, which no two complexes share.
Source: arXiv:2505.20036, by its code: no layer norm anywhere.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.protein.architecture.architecture import Architecture, AttentionPooling, Side, output


class PAD(Architecture):
    def __init__(self, *, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def set_width(self, width: int, head: nn.Module | None) -> None:
        if width % self.heads:
            raise ValueError(
                f"the backbone's width {width} is no multiple of {self.heads} heads; see conf/architecture/pad.yaml"
            )
        self.head = head
        self.attention = nn.MultiheadAttention(width, self.heads, bias=False, batch_first=True)
        self.pool = AttentionPooling(width)
        self.between = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.output = output(width)

    def texts(self, ligand: str, receptor: str) -> tuple[tuple[str, ...], ...]:
        return (ligand,), (receptor,)

    def forward(self, sides: Sequence[Side]) -> Float[Tensor, " B"]:
        left, right = ((self.looked_at(side.hidden, side.mask)[side.text[:, 0]], side.mask[side.text[:, 0]]) for side in sides)
        pooled = []
        for (own, own_mask), (other, other_mask) in ((left, right), (right, left)):
            read, _ = self.attention(own, other, other, key_padding_mask=other_mask == 0, need_weights=False)
            pooled.append(self.pool(own + read, own_mask))
        return self.output(self.between(pooled[0] + pooled[1]))[:, 0]
