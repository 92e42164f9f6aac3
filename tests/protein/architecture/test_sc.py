import torch

from pipeline.protein.architecture.sc import SC


def test_a_complex_is_one_sequence_and_the_order_of_its_chains_matters():
    sc = SC()
    assert sc.texts("MKV:GHT", "AAA") == (("MKV:GHT:AAA",),)
    assert sc.texts("GHT:MKV", "AAA") != sc.texts("MKV:GHT", "AAA")


def test_its_tokens_are_pooled_and_put_out(ready, side, vectors, pooled):
    sc = ready(SC())
    texts = vectors(3, 5)
    found = sc([side(texts, [[1], [0], [1]])])
    for b, row in enumerate([1, 0, 1]):
        torch.testing.assert_close(found[b], sc.output(pooled(sc.pool, texts[row]))[0])
