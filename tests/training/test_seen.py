from pipeline.corpus.batches import Batch
from pipeline.training.seen import looked_at

BATCHES = [Batch([("a", [[0, 1], [2]])]), Batch([("a", [[2], [3]]), ("b", [[0]])]), Batch([("b", [[0], [1]])])]
ROWS = {"a": range(9), "b": range(2), "c": range(3)}


def test_rows_are_counted_once_and_draws_as_often_as_they_are():
    assert looked_at(BATCHES, ROWS) == {
        "a": {"rows": 9, "drawn": 5, "seen": 4},
        "b": {"rows": 2, "drawn": 3, "seen": 2},
        "c": {"rows": 3, "drawn": 0, "seen": 0},
    }
