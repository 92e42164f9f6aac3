from pipeline.corpus.batches import Batch
from pipeline.corpus.row import Row
from pipeline.training.reading import Reader
from pipeline.training.seen import full_texts, looked_at, saw

BATCHES = [Batch([("a", [[0, 1], [2]])]), Batch([("a", [[2], [3]]), ("b", [[0]])]), Batch([("b", [[0], [1]])])]
ROWS = {"a": range(9), "b": range(2), "c": range(3)}


def test_rows_are_counted_once_and_draws_as_often_as_they_are():
    assert looked_at(BATCHES, ROWS) == {
        "a": {"rows": 9, "drawn": 5, "seen": 4},
        "b": {"rows": 2, "drawn": 3, "seen": 2},
        "c": {"rows": 3, "drawn": 0, "seen": 0},
    }


def test_texts_of_the_rows_seen_are_counted_each_once_a_side_and_those_at_the_limit(tiny_encoder):
    reader = Reader(tiny_encoder(), 6)
    long, short = "the cat sat on a mat", "the cat"
    pairs = [(long, short), (short, short), (short, long), (long, long)]
    rows = {"retrieval": [Row("retrieval", str(i), query, str(i), document) for i, (query, document) in enumerate(pairs)]}
    seen = [Batch([("retrieval", [[0], [1]])]), Batch([("retrieval", [[1]])])]
    assert full_texts(seen, rows, reader) == {"retrieval": {"texts": 3, "full": 1, "tokens": 6}}  # two queries, one document
    assert full_texts([], rows, reader) == {"retrieval": {"texts": 0, "full": 0, "tokens": 6}}
    assert saw(seen, rows, reader)["retrieval"] == {"rows": 4, "drawn": 3, "seen": 2, "texts": 3, "full": 1, "tokens": 6}
