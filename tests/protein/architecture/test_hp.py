import torch
import torch.nn.functional as F

from pipeline.protein.architecture.hp import HP


def test_chains_are_pooled_first_sides_next(ready, side, vectors, pooled):
    hp = ready(HP())
    ligands, receptors = vectors(3, 5, 2), vectors(4, 6)
    of = ([[0, 1], [2]], [[0], [1, 0]])
    found = hp([side(ligands, of[0]), side(receptors, of[1])])
    for b in range(2):
        sides = []
        for texts, rows in ((ligands, of[0][b]), (receptors, of[1][b])):
            sides.append(pooled(hp.chains, torch.stack([pooled(hp.residues, texts[row]) for row in rows])))
        first, _, last = hp.between
        torch.testing.assert_close(found[b], hp.output(last(F.silu(first(torch.cat(sides)))))[0])


def test_chains_of_a_side_may_change_places(ready, side, vectors):
    hp = ready(HP())
    assert hp.texts("MKV:GHT", "AAA") == (("MKV", "GHT"), ("AAA",))
    ligands, receptor = vectors(3, 5, 4), vectors(6)
    found = [hp([side(ligands, [order]), side(receptor, [[0]])]) for order in ([0, 1, 2], [2, 0, 1], [1, 0])]
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)
    assert not torch.allclose(found[0], found[2], atol=1e-4)  # a chain fewer
