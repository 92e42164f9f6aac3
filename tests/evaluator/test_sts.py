import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.corpus.collection import Pairs
from pipeline.evaluator.sts import Sts

RANDOM = np.random.default_rng(0)
VECTORS = {
    f"text {i}": vector / np.linalg.norm(vector) for i, vector in enumerate(RANDOM.normal(size=(30, 4)).astype(np.float32))
}
PAIRS = [(f"p{i}", f"text {i}", f"text {29 - i}", float(RANDOM.integers(0, 6))) for i in range(15)]


def encode(texts, side, task):
    assert task == "sts"
    return np.stack([VECTORS[text] for text in texts])


def test_the_score_is_the_rank_correlation_of_cosine_and_gold():
    scores, items = Sts().evaluate(encode, Pairs("corpus", "sts", PAIRS))
    cosine = [
        sum(float(a) * float(b) for a, b in zip(VECTORS[left], VECTORS[right], strict=True)) for _, left, right, _ in PAIRS
    ]
    assert scores == {"spearman": pytest.approx(spearmanr(cosine, [pair[3] for pair in PAIRS]).statistic, abs=1e-6)}
    assert items["id"] == [pair[0] for pair in PAIRS]
    assert items["score"] == [pair[3] for pair in PAIRS]
    assert items["cosine"] == pytest.approx(cosine, abs=1e-6)


def test_each_draw_is_scored_on_its_own_pairs():
    scores, items = Sts().evaluate(encode, Pairs("corpus", "sts", PAIRS))
    index = np.stack([np.arange(15), np.random.default_rng(1).integers(0, 15, 15)])
    cosine, gold = np.array(items["cosine"]), np.array(items["score"])
    expected = [spearmanr(cosine[draw], gold[draw]).statistic for draw in index]
    counts = np.stack([np.bincount(draw, minlength=15) for draw in index])
    np.testing.assert_allclose(Sts().resampled(items, counts), expected, atol=1e-12)
    assert Sts().resampled(items, counts)[0] == pytest.approx(scores["spearman"])


def test_a_pair_whose_vector_is_no_number_is_refused_by_place():
    def broken(texts, side, task):
        vectors = encode(texts, side, task)
        if side == "document":
            vectors[4, 0] = np.nan
        return vectors

    with pytest.raises(ValueError, match="corpus: the model gives NaN for pair 4"):
        Sts().evaluate(broken, Pairs("corpus", "sts", PAIRS))
