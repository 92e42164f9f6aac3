import pytest
import torch
import torch.nn.functional as F

from pipeline.protein.architecture.pad import PAD


def attended(attention, own, other):
    """One text looks at another: every head by hand, no bias."""
    size = own.shape[1] // attention.num_heads
    q, k, v = (x @ w.T for x, w in zip((own, other, other), attention.in_proj_weight.chunk(3), strict=True))
    heads = []
    for h in range(attention.num_heads):
        at = slice(h * size, (h + 1) * size)
        heads.append((q[:, at] @ k[:, at].T / size**0.5).softmax(-1) @ v[:, at])
    return torch.cat(heads, dim=1) @ attention.out_proj.weight.T


def test_each_side_looks_at_the_other_and_the_two_are_added(ready, side, vectors, pooled):
    pad = ready(PAD(heads=2))
    ligands, receptors = vectors(3, 5), vectors(4, 2)
    found = pad([side(ligands, [[0], [1], [0]]), side(receptors, [[0], [1], [1]])])
    for b, (one, other) in enumerate([(0, 0), (1, 1), (0, 1)]):
        left, right = ligands[one], receptors[other]
        z = pooled(pad.pool, left + attended(pad.attention, left, right))
        z = z + pooled(pad.pool, right + attended(pad.attention, right, left))
        first, _, last = pad.between
        torch.testing.assert_close(found[b], pad.output(last(F.silu(first(z))))[0])


def test_ligand_and_receptor_may_change_places(ready, side, vectors):
    pad = ready(PAD(heads=2))
    sides = [side(vectors(3), [[0]]), side(vectors(6), [[0]])]
    torch.testing.assert_close(pad(sides), pad(sides[::-1]), atol=1e-6, rtol=0)


def test_heads_must_divide_the_width(ready):
    with pytest.raises(ValueError, match=r"width 8 is no multiple of 3 heads; see conf/architecture/pad.yaml"):
        ready(PAD(heads=3))
