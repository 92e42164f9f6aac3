import numpy as np
import pytest

from pipeline.corpus.collection import Complexes, Pairs
from pipeline.protein.baseline.length import Length, features
from pipeline.protein.baseline.nearest import Nearest
from pipeline.protein.evaluator.affinity import Affinity

EVALUATOR = Affinity(least=2, seed=0)
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def chain(seed, length):
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), size=length))


def test_length_is_least_squares_of_logarithms():
    trained = [(str(i), chain(i, 10 + 5 * i), chain(i, 90 - 3 * i), 2.0 * np.log(11 + 5 * i) + 1.0) for i in range(20)]
    pairs = [("a", "AAAA", "GGGGGG", 3.0), ("b", "AAAAAAAAA", "GGG", 1.0)]
    _, items = Length().answer(EVALUATOR, Complexes("x", "affinity", pairs=pairs, trained=trained, strata=["", ""]))
    assert items["prediction"] == pytest.approx([2 * np.log(5) + 1, 2 * np.log(10) + 1])
    assert features(["MKV:GHT"], ["AAA"]).tolist() == [pytest.approx([1, np.log(7), 2, np.log(4), 1])]


def test_nearest_takes_the_value_of_the_train_complex_that_shares_most():
    ligands, receptors = [chain(i, 60) for i in range(5)], [chain(10 + i, 80) for i in range(5)]
    trained = [(str(i), ligands[i], receptors[i], float(i)) for i in range(5)]
    mutant = ligands[3][:30] + ("A" if ligands[3][30] != "A" else "C") + ligands[3][31:]
    pairs = [("a", mutant, receptors[3], 3.2), ("b", ligands[1], receptors[1], 0.9)]
    collection = Complexes("x", "affinity", pairs=pairs, trained=trained, strata=["", ""])
    assert Nearest(letters=3, neighbours=1).answer(EVALUATOR, collection)[1]["prediction"] == [3.0, 1.0]
    even = Nearest(letters=3, neighbours=5).answer(EVALUATOR, collection)[1]["prediction"]
    assert even == [2.0, 2.0]  # the mean of all


def test_complexes_as_near_as_each_other_are_all_counted_in():
    trained = [("a", "ACDEF", "GHIKL", 2.0), ("b", "ACDEF", "GHIKL", 4.0), ("c", "WWWWW", "YYYYY", 9.0)]
    collection = Complexes("x", "affinity", pairs=[("q", "ACDEF", "GHIKL", 3.0)], trained=trained, strata=[""])
    assert Nearest(letters=3, neighbours=1).answer(EVALUATOR, collection)[1]["prediction"] == [3.0]


@pytest.mark.parametrize("baseline", [Length(), Nearest(letters=3, neighbours=1)])
def test_what_has_no_complexes_is_left(baseline):
    assert baseline.answer(None, Pairs("x", "sts", [("a", "one", "two", 1.0)])) is None
