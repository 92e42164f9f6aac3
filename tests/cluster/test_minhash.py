import random

from benchmarks.text_pairs import text_pairs
from pipeline.cluster.join import Join
from pipeline.cluster.minhash import MinHash


def test_minhash_finds_most_of_the_join_s_pairs_and_no_other():
    draw = random.Random(0)
    texts = [" ".join(f"w{draw.randrange(900)}" for _ in range(20)) for _ in range(150)]
    texts += [text.replace("w1", f"x{i} w1", 1) for i, text in enumerate(texts)] + ["", "!"]
    shared = {"unit": "word", "size": 1, "threshold": 0.7}
    found = set(text_pairs(MinHash(**shared, permutations=128, bands=32, seed=1)(texts)))
    truth = set(text_pairs(Join(**shared, workers=1)(texts)))
    assert found <= truth
    assert len(found) >= 0.95 * len(truth) > 100
