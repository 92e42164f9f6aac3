from pipeline.corpus.files import Negative, read, write
from pipeline.corpus.row import Document, Row
from pipeline.training.mined import further_documents, mined


def test_negatives_are_train_documents_of_the_corpus_and_never_an_answer(finished):
    rows = read(finished / "data/curated/questions/train.parquet", Row)
    answers: dict[str, set[str]] = {}
    for row in rows:
        answers.setdefault(row.query, set()).add(row.document)
    negatives = read(finished / "data/mined/questions.parquet", Negative)
    assert negatives
    assert {negative.document for negative in negatives} <= {row.document for row in rows}
    assert all(negative.document not in answers[negative.query] for negative in negatives)


def test_each_query_has_at_most_so_many_ranked_from_0(finished):
    ranks: dict[str, list[int]] = {}
    for negative in read(finished / "data/mined/questions.parquet", Negative):
        ranks.setdefault(negative.query, []).append(negative.rank)
    assert all(of_query == list(range(len(of_query))) and len(of_query) <= 3 for of_query in ranks.values())


def test_only_corpora_with_retrieval_rows_are_mined(finished):
    assert sorted(file.name for file in (finished / "data/mined").iterdir()) == ["SHA256SUMS", "questions.parquet"]


NEAR = {"_target_": "pipeline.cluster.join.Join", "unit": "word", "size": 3, "threshold": 0.7, "workers": 1}
MINER = {
    "_target_": "pipeline.mining.nearest.Nearest", "num_negatives": 9, "first_rank": 0, "depth": 9, "max_ratio": None,
    "min_margin": None, "queries_at_once": 8, "documents_at_once": 8,
}  # fmt: skip
LONG = (
    "the window of a frame rolls over its rows one after the other and gives the mean of each of the windows that it has seen"
)


def asked(**changes):
    return {"max_queries": None, "max_length_tokens": None, "miner": MINER, "near": NEAR} | changes


def found(encoder, rows, pool=(), **changes):
    return {(n.query, n.document) for n in mined(encoder, rows, pool, asked(**changes), {"batch_tokens": 99}, title="corpus")}


def pair(query, document):
    return Row("retrieval", query, query, document, document)


def test_what_says_the_same_or_nearly_the_same_as_query_or_answer_is_no_negative(tiny_encoder):
    rows = [
        pair("what now?", "An answer."),
        pair("b", "an  ANSWER."),
        pair("c", "What now?"),
        pair("d", LONG),
        pair("e", LONG + " so far"),
    ]
    got = found(tiny_encoder(), rows)
    assert {document for query, document in got if query == "what now?"} == {LONG, LONG + " so far"}
    assert {document for query, document in got if query == "d"} == {"An answer.", "an  ANSWER.", "What now?"}
    apart = found(tiny_encoder(), rows, near=NEAR | {"threshold": 1.0})
    assert ("d", LONG + " so far") in apart


def test_the_whole_list_of_documents_is_searched_whatever_the_number_of_queries(tiny_encoder, capsys):
    rows = [pair(f"q{i}", f"document {i}") for i in range(6)]
    got = found(tiny_encoder(), rows, ["one that no row names"], max_queries=2)
    assert {document for _, document in got} == {*(f"document {i}" for i in range(6)), "one that no row names"}
    assert "for 2 queries of 6 (max_queries) among 7 documents" in capsys.readouterr().out
    assert found(tiny_encoder(), rows, max_queries=0) == set()


def test_what_a_held_out_row_names_is_nobodys_negative(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "validation.parquet", Row, [pair("v", "held  Out")])
    write(folder / "test.parquet", Row, [pair("t", "tested")])
    texts = ["held out", "tested", "free", "of the test alone"]
    documents = [Document(text, text, "test" if "alone" in text else None) for text in texts]
    write(folder / "documents.parquet", Document, documents)
    assert further_documents(tmp_path, "corpus") == ["free"]


def test_without_a_base_nothing_is_left(copied, run, capsys):
    folder = copied("data/curated", "data/config.yaml")
    assert run(folder, "mine") == 1
    assert "checkpoints/base is no encoder directory" in capsys.readouterr().err
    assert not (folder / "data/mined").exists()
