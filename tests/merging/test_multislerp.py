import pytest
import torch
import torch.nn.functional as F

from pipeline.merging.multislerp import MultiSlerp, spherical_mean


def direct(vectors, w):
    """On the vectors themselves."""
    unit = F.normalize(vectors, dim=1)
    middle = F.normalize(w @ unit, dim=0)
    tangent = torch.zeros_like(middle)
    for share, one in zip(w, unit, strict=True):
        cosine = one @ middle
        out = one - cosine * middle
        if out.norm() > 1e-9:
            tangent += share * torch.arccos(cosine) * out / out.norm()
    angle = tangent.norm()
    turned = middle if angle < 1e-9 else torch.cos(angle) * middle + torch.sin(angle) * tangent / angle
    return turned * (w @ vectors.norm(dim=1))


@pytest.mark.parametrize("num", [1, 2, 3, 5])
def test_the_gram_matrix_gives_what_the_vectors_give(num):
    vectors = torch.randn(num, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(num))
    w = F.normalize(torch.rand(num, dtype=torch.float64), p=1, dim=0)
    torch.testing.assert_close(spherical_mean(vectors @ vectors.T, w) @ vectors, direct(vectors, w))


def test_opposite_task_vectors_are_refused_with_tensor_and_file(state, merged):
    base, one = state(0), state(1)
    opposite = {name: 2 * base[name] - one[name] for name in base}
    with pytest.raises(ValueError, match=r"model\.safetensors, tensor b: .*anti-parallel"):
        merged(MultiSlerp(norm=1.0, weights=[]), base, [one, opposite])
