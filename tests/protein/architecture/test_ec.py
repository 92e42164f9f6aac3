import pytest
import torch
import torch.nn.functional as F

from pipeline.protein.architecture.ec import EC


def end(ec, vector):
    return ec.output(F.silu(ec.between[0](vector)))[0]


def test_joined_first_the_tokens_of_both_sides_are_pooled_together(ready, side, vectors, pooled):
    ec = ready(EC(concat_first=True))
    ligands, receptors = vectors(3, 5), vectors(4, 2)
    found = ec([side(ligands, [[0], [1], [0]]), side(receptors, [[0], [1], [1]])])
    for b, (one, other) in enumerate([(0, 0), (1, 1), (0, 1)]):
        vector = pooled(ec.pool, torch.cat([ligands[one], receptors[other]]))
        torch.testing.assert_close(found[b], end(ec, vector))


def test_otherwise_each_side_is_pooled_and_the_vectors_stand_side_by_side(ready, side, vectors, pooled):
    ec = ready(EC(concat_first=False))
    ligands, receptors = vectors(3, 5), vectors(4, 2)
    found = ec([side(ligands, [[0], [1]]), side(receptors, [[1], [0]])])
    for b, (one, other) in enumerate([(0, 1), (1, 0)]):
        vector = torch.cat([pooled(ec.pool, ligands[one]), pooled(ec.pool, receptors[other])])
        torch.testing.assert_close(found[b], end(ec, vector))


@pytest.mark.parametrize("concat_first", [True, False])
def test_each_side_is_read_by_itself(concat_first):
    assert EC(concat_first=concat_first).texts("MKV:GHT", "AAA") == (("MKV:GHT",), ("AAA",))
