import numpy as np
from sentence_transformers.util import quantize_embeddings

from pipeline.form.binary import Binary


def test_scores_order_pairs_as_the_hamming_distance_of_packed_bits_does():
    vectors = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)
    found = Binary().make(None, None, lambda texts, side, task: vectors, max_length_tokens=12)(["x"] * 30, "query", "sts")
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    bits = quantize_embeddings(vectors, precision="ubinary")
    assert bits.shape == (30, Binary().vector_bytes(16)) == (30, 2)
    differ = np.unpackbits(bits[:, None] ^ bits[None, :], axis=-1).sum(-1)
    np.testing.assert_allclose(found @ found.T, 1 - 2 * differ / 16, atol=1e-6)
