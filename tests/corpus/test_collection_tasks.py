"""Rows of each evaluated task as collections; and what is refused."""

from dataclasses import replace

import pytest

from pipeline.corpus.collection import Judged, checked_judgements, collections
from pipeline.corpus.files import write
from pipeline.corpus.row import Document, Row


@pytest.fixture
def curated(tmp_path):
    """Writes the rows of splits of one corpus and gives the collections of test."""

    def made(test, train=(), documents=()):
        folder = tmp_path / "c"
        folder.mkdir()
        write(folder / "test.parquet", Row, test)
        write(folder / "train.parquet", Row, train)
        write(folder / "documents.parquet", Document, documents)
        return collections(tmp_path, "c", "test")

    return made


def row(task, query, document, score=None, *, q=None, d=None):
    return Row(task, q or query, query, d or document, document, score)


def test_classes_are_the_documents_of_labelled_rows_and_a_probe_has_the_train_rows(curated):
    found = curated(
        [row("classification", "hi", "greeting"), row("clustering", "bye", "parting")],
        [row("classification", "hello", "greeting")],
    )
    assert [one.task for one in found] == ["classification", "clustering"]
    assert found[0].labelled == [("hi|0", "hi", "greeting")]
    assert found[0].examples == [("hello|0", "hello", "greeting")]
    assert found[1].labelled == [("bye|0", "bye", "parting")]


def test_a_text_is_searched_among_the_train_texts_of_which_those_of_its_class_are_relevant(curated, capsys):
    found = curated(
        [classed("hi", "greeting"), classed("bye", "parting"), classed("hm", "doubt")],
        [classed("hello", "greeting"), classed("hey", "greeting"), classed("so long", "parting")],
    )
    assert [one.queries for one in found] == [{"id hi": "hi", "id bye": "bye"}]
    assert found[0].documents == {"id hello": "hello", "id hey": "hey", "id so long": "so long"}
    assert found[0].judgements == {"id hi": {"id hello": 1, "id hey": 1}, "id bye": {"id so long": 1}}
    assert capsys.readouterr().out == "c: 1 of 3 texts are of a class that has no train text, and are not scored\n"


def test_nothing_is_scored_where_no_class_has_a_train_text(curated):
    assert curated([classed("hi", "greeting")]) == []


def test_a_text_of_two_classes_finds_both_and_letter_case_makes_no_other_text(curated):
    train = [
        classed("hello", "greeting"),
        classed("well", "smalltalk"),
        replace(classed("Well", "greeting"), query_id="id well"),
    ]
    (found,) = curated([classed("hi", "greeting"), classed("hi", "smalltalk")], train)
    assert found.judgements == {"id hi": {"id hello": 1, "id well": 1}}
    assert found.documents == {"id hello": "hello", "id well": "well"}


def classed(text, name):
    return Row("intent", f"id {text}", text, name, name, kind="same_class")


def test_pairs_keep_their_class_and_a_translation_counts_as_one(curated):
    found = curated(
        [row("pair_classification", "a", "b", 0.0), row("pair_classification", "c", "d", 1.0), row("bitext", "yes", "oui")]
    )
    assert {one.task: [pair[1:] for pair in one.pairs] for one in found} == {
        "bitext": [("yes", "oui", 1.0)],
        "pair_classification": [("a", "b", 0.0), ("c", "d", 1.0)],
    }


def test_candidates_of_a_reranking_are_its_own_rows_alone(curated):
    (found,) = curated(
        [row("reranking", "q", "good", 1.0), row("reranking", "q", "bad", 0.0)], documents=[Document("other", "other")]
    )
    assert found.judgements == {"q": {"good": 1, "bad": 0}}
    assert sorted(found.documents) == ["bad", "good"]


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (row("retrieval", "other", "d", q="q"), "query id 'q' stands for two texts: 'text' and 'other'"),
        (row("retrieval", "text", "e", q="q", d="d"), "document id 'd' stands for two texts: 'd' and 'e'"),
    ],
)
def test_an_id_of_two_texts_is_refused(curated, second, what):
    with pytest.raises(ValueError, match=f"c: the {what}"):
        curated([row("retrieval", "text", "d", q="q"), second])


def test_a_split_without_rows_has_no_collection(curated):
    assert curated([], [row("retrieval", "a", "b")]) == []


def test_judgements_queries_and_documents_must_belong_together():
    good = Judged("c", "retrieval", {"q": "t"}, {"d": "t"}, {"q": {"d": 1}})
    checked_judgements(good)
    with pytest.raises(ValueError, match="expected documents to search, found none"):
        checked_judgements(Judged("c", "retrieval", {"q": "t"}, {}, {"q": {"d": 1}}))
    with pytest.raises(ValueError, match=r"documents that are not there: \['x'\]"):
        checked_judgements(Judged("c", "retrieval", {"q": "t"}, {"d": "t"}, {"q": {"x": 1}}))
    with pytest.raises(ValueError, match="queries without a judgement: there are none at all"):
        checked_judgements(Judged("c", "retrieval", {}, {"d": "t"}, {}))
