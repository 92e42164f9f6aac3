from collections import Counter
from math import log, sqrt

import numpy as np

from pipeline.protein.split.alike import closest


def test_the_closest_share_most_rare_runs():
    """Against cosines worked out chain by chain."""
    random = np.random.default_rng(0)
    draw = ["".join(random.choice(list("ACDEF"), size=size)) for size in random.integers(3, 30, size=24)]
    held, train = [*draw[:8], "AC"], draw[8:]
    runs = [{one[i : i + 3] for i in range(len(one) - 2)} for one in [*held, *train]]
    rare = {run: log(len(runs) / count) + 1 for run, count in Counter(run for one in runs for run in one).items()}

    def cosine(a, b):
        norm = sqrt(sum(rare[run] ** 2 for run in a)) * sqrt(sum(rare[run] ** 2 for run in b))
        return sum(rare[run] ** 2 for run in a & b) / norm if norm else 0.0

    expected = [
        sorted(range(len(train)), key=lambda j: (-round(cosine(one, runs[len(held) + j]), 9), j)) for one in runs[: len(held)]
    ]
    found = closest(held, train, 3)
    for k, places in enumerate(found.tolist()):
        values = [cosine(runs[k], runs[len(held) + j]) for j in places]
        best = [cosine(runs[k], runs[len(held) + j]) for j in expected[k][:3]]
        np.testing.assert_allclose(values, best, atol=1e-9)
    assert closest(held, train[:2], 3).shape == (9, 2)
    assert closest(held, [], 3).shape == (9, 0)
    assert closest([], train, 3).shape == (0, 3)
