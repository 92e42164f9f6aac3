import numpy as np
import pytest

from benchmarks.text_pairs import text_pairs
from pipeline.cluster import semantic
from pipeline.cluster.semantic import Semantic


@pytest.mark.parametrize("block", [1, 3, 100])
def test_pairs_are_those_whose_cosine_reaches_the_threshold(monkeypatch, block):
    monkeypatch.setattr(semantic, "BLOCK_TEXTS", block)
    angles = dict(zip("abcdefg", (0.0, 0.2, 0.5, 1.5, 1.52, 3.0, 3.3), strict=True))

    def model(texts):
        angle = np.array([angles[text] for text in texts])
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    texts = list("abcdefga")
    near = Semantic(model=model, threshold=0.95)(texts)
    expected = [(i, j) for i in range(8) for j in range(i + 1, 8) if np.cos(angles[texts[i]] - angles[texts[j]]) >= 0.95]
    assert sorted((i, j) for i, j, _ in text_pairs(near)) == expected
    with pytest.raises(ValueError, match="cosine in"):
        Semantic(model=model, threshold=30)
