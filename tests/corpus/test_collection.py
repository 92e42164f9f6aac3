from dataclasses import replace

import pytest

from pipeline.corpus.collection import Judged, Pairs, collections
from pipeline.corpus.files import write
from pipeline.corpus.row import Document, Row
from pipeline.task import KINDS, kind_of


def pair(query, document, score=None, task="retrieval"):
    return Row(task, query, f"text of {query}", document, f"text of {document}", score, "test")


@pytest.fixture
def made(tmp_path):
    def make(rows, documents=()):
        folder = tmp_path / "corpus"
        folder.mkdir()
        write(folder / "test.parquet", Row, rows)
        write(folder / "documents.parquet", Document, documents)
        return collections(tmp_path, "corpus", "test")

    return make


def test_plain_positives_are_judged_one_and_grades_stay_whole(made):
    rows = [pair("q1", "d1"), pair("q1", "d2", 2.0), pair("q1", "d3", 0.0), pair("q2", "d1", 3.0)]
    (found,) = made(rows)
    assert (type(found), found.corpus, found.task) == (Judged, "corpus", "retrieval")
    assert found.queries == {"q1": "text of q1", "q2": "text of q2"}
    assert found.judgements == {"q1": {"d1": 1, "d2": 2, "d3": 0}, "q2": {"d1": 3}}
    assert all(type(grade) is int for grades in found.judgements.values() for grade in grades.values())


@pytest.mark.parametrize("scores", [(1.0, 0.5), (0.3, 0.2), (0.0004, 0.0002), (2.0, 0.5), (0.5, 0.5)])
def test_what_training_takes_for_relevant_is_relevant_in_evaluation_and_keeps_its_gain(made, scores):
    """Gains of nDCG are linear in the grade, so only their ratio counts."""
    (found,) = made([pair("q", "high", scores[0]), pair("q", "low", scores[1]), pair("q", "no", 0.0)])
    grades = found.judgements["q"]
    assert all(grades[name] > 0 for name in ("high", "low"))
    assert grades["no"] == 0
    if min(scores) >= 0.01:
        assert grades["high"] / grades["low"] == pytest.approx(scores[0] / scores[1])


def test_a_query_without_a_relevant_document_is_not_asked_but_its_documents_stay_candidates(made):
    (found,) = made([pair("q1", "d1"), pair("q2", "d2", 0.0)])
    assert set(found.queries) == set(found.judgements) == {"q1"}
    assert set(found.documents) == {"d1", "d2"}


def test_without_any_relevant_document_there_is_nothing_to_evaluate(made):
    assert made([pair("q1", "d1", 0.0)]) == []


def test_candidates_are_the_documents_of_this_split_or_of_none(made):
    documents = [Document("here", "a", "test"), Document("anywhere", "b"), Document("elsewhere", "c", "train")]
    (found,) = made([pair("q1", "d1")], documents)
    assert found.documents == {"here": "a", "anywhere": "b", "d1": "text of d1"}


def test_graded_pairs_keep_their_order_and_get_an_id_each(made):
    rows = [pair("q", "d", 5.0, "sts"), pair("q", "d", 0.0, "sts"), pair("p", "d", 2.5, "sts")]
    (found,) = made(rows)
    assert (type(found), found.task) == (Pairs, "sts")
    assert [each[1:] for each in found.pairs] == [(f"text of {r.query_id}", "text of d", r.score) for r in rows]
    assert len({each[0] for each in found.pairs}) == 3


def test_both_tasks_come_apart_and_weak_rows_are_not_evaluated(made):
    rows = [pair("q", "d", 1.0, "sts"), pair("q", "d"), pair("w", "x", task="weak")]
    ranked, graded = made(rows)
    assert (ranked.task, len(ranked.queries)) == ("retrieval", 1)
    assert (graded.task, len(graded.pairs)) == ("sts", 1)


def test_a_task_of_any_name_is_a_collection_of_its_kind_and_keeps_its_name(made):
    rows = [replace(pair("q", "d", task=name), kind="retrieval") for name in ("support", "legal")]
    legal, near, support = made([*rows, replace(pair("a", "b", 2.0, "near"), kind="sts")])
    assert (type(near), near.name) == (Pairs, "near/corpus")
    assert (type(legal), legal.name, support.name) == (Judged, "legal/corpus", "support/corpus")
    assert kind_of(legal) is kind_of(support) is KINDS["retrieval"]


def test_rows_of_a_task_that_nobody_knows_are_an_error_and_not_passed_over(made):
    with pytest.raises(ValueError, match=r"'retreival' is no kind of task \(did you mean 'retrieval'\?\)"):
        made([pair("q", "d", task="retreival")])


def test_what_belongs_together_and_what_is_searched_is_said_by_each_shape(made):
    rows = [
        pair("q", "d"),
        pair("q", "e", 0.0),
        pair("s", "d", 1.0, "sts"),
        pair("t", "d", 2.0, "sts"),
        pair("b", "d", task="bitext"),
    ]
    bitext, ranked, graded = made(rows)
    assert ranked.together() == [("text of q", "text of d")]
    assert ranked.texts() == (["text of d", "text of e"], "document")
    assert graded.together() == [("text of t", "text of d")]
    assert graded.every_text() == ["text of d", "text of s", "text of t"]
    assert bitext.texts() == (["text of d"], "query")  # neither side leads


def test_an_empty_split_has_no_collection(made):
    assert made([], [Document("d", "text")]) == []
