"""What a try of a training says of the rows and tokens that all of it would see."""

from types import SimpleNamespace

from pipeline.corpus.row import Row
from pipeline.training.probe import shares
from pipeline.training.reading import Reader

SIDES = ("query", "document")


def test_shares_are_of_rows_and_of_their_tokens_also_where_texts_repeat(tiny_encoder):
    texts = [("a b", "c d e"), ("a b", "f"), ("g", "c d e"), ("g h i", "k")]
    rows = [Row("retrieval", f"q{i}", query, f"d{i}", document) for i, (query, document) in enumerate(texts)]
    reader = Reader(tiny_encoder(), None)
    batches = SimpleNamespace(reader=reader, rows={"retrieval": rows})
    plan = [SimpleNamespace(parts=[("retrieval", [[0], [2]])]), SimpleNamespace(parts=[("retrieval", [[2]])])]
    found = shares(plan, SimpleNamespace(datamodule=SimpleNamespace(batches=batches)))
    length = {(side, text): reader.lengths("retrieval", side, [text])[0] for one in texts for side in SIDES for text in one}
    of_row = [length["query", query] + length["document", document] for query, document in texts]
    assert found == {"retrieval": {"rows": 0.5, "tokens": (of_row[0] + of_row[2]) / sum(of_row)}}
