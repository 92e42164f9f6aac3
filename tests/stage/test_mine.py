from pipeline.corpus.files import Negative, read
from pipeline.corpus.row import Row
from pipeline.training.mined import _copies


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
    assert [file.name for file in (finished / "data/mined").iterdir()] == ["questions.parquet"]


def test_a_copy_of_the_query_or_of_an_answer_is_barred():
    documents = ["An answer.", "an  ANSWER.", "What now?", "else"]
    assert _copies(["what now?", "else where"], documents, {"what now?": {0}, "else where": {3}}) == [{0, 1, 2}, {3}]


def test_without_a_base_nothing_is_left(copied, run, capsys):
    folder = copied("data/curated", "data/config.yaml")
    assert run(folder, "mine") == 1
    assert "checkpoints/base is no encoder directory" in capsys.readouterr().err
    assert not (folder / "data/mined").exists()
