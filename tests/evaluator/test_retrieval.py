import math

import numpy as np
import pytest

from pipeline.corpus.collection import Judged, without_twins
from pipeline.evaluator.retrieval import Retrieval, dense

EVALUATOR = Retrieval(depth=100)


def collection(judgements, num_documents=12):
    documents = {f"d{i:02d}": f"text {i}" for i in range(num_documents)}
    return Judged("corpus", "retrieval", {query: f"text of {query}" for query in judgements}, documents, judgements)


def ranking(**best_first):
    """A search that gives each query these documents, 1 apart in score, and the rest below them in a tie at -100."""

    def search(queries, documents, depth):
        score_BN = np.full((len(queries), len(documents)), -100.0, dtype=np.float32)
        for i, query in enumerate(queries):
            for rank, number in enumerate(best_first[query.removeprefix("text of ")]):
                score_BN[i, documents.index(f"text {number}")] = -rank
        row_BN = np.argsort(-score_BN, axis=1, kind="stable")[:, :depth]
        return np.take_along_axis(score_BN, row_BN, axis=1), row_BN

    return search


def judged(judgements, **best_first):
    return EVALUATOR.judge(ranking(**best_first), collection(judgements))


def test_one_relevant_document_at_rank_three():
    scores, items = judged({"q": {"d05": 1}}, q=[1, 2, 5, 3])
    assert scores == pytest.approx({"ndcg@10": 1 / math.log2(4), "mrr@10": 1 / 3, "recall@100": 1.0})
    assert items == {"id": ["q"], "ndcg@10": [pytest.approx(0.5)], "first": ["d01"]}


def test_grades_count_as_gain_and_the_best_order_is_the_measure():
    scores, _ = judged({"q": {"d00": 3, "d01": 1, "d02": 2, "d03": 0}}, q=[1, 3, 0, 4, 2])
    gained = 1 / math.log2(2) + 3 / math.log2(4) + 2 / math.log2(6)
    best = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert scores["ndcg@10"] == pytest.approx(gained / best)
    assert scores["mrr@10"] == 1


def test_a_document_judged_not_relevant_gives_nothing():
    scores, _ = judged({"q": {"d03": 0, "d00": 1}}, q=[3, 0])
    assert scores == pytest.approx({"ndcg@10": 1 / math.log2(3), "mrr@10": 0.5, "recall@100": 1.0})


def test_beyond_rank_ten_only_recall_counts():
    scores, _ = judged({"q": {"d11": 1}}, q=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11])
    assert scores == {"ndcg@10": 0, "mrr@10": 0, "recall@100": 1}


def test_recall_is_the_share_of_the_relevant_documents_among_the_first_hundred():
    documents = collection({"q": {"d00": 1, "d01": 2, "d119": 1, "d02": 0}}, num_documents=120)
    scores, _ = Retrieval(depth=110).judge(ranking(q=[i for i in range(120) if i != 1] + [1]), documents)
    assert scores["recall@100"] == pytest.approx(1 / 3)


def test_the_score_is_the_mean_over_queries_and_the_items_are_sorted_by_id():
    judgements = {"b": {"d00": 1}, "a": {"d00": 1}, "c": {"d09": 1}}
    scores, items = judged(judgements, b=[0], a=[1, 0], c=[1, 2, 3, 4, 9])
    expected = [1 / math.log2(3), 1.0, 1 / math.log2(6)]
    assert items["id"] == ["a", "b", "c"]
    assert items["ndcg@10"] == pytest.approx(expected)
    assert scores["ndcg@10"] == pytest.approx(sum(expected) / 3)
    assert scores["mrr@10"] == pytest.approx((1 / 2 + 1 + 1 / 5) / 3)


@pytest.mark.parametrize(("relevant", "rank"), [("d11", 1), ("d05", 7), ("d02", 10), ("d01", 11), ("d00", 12)])
def test_of_equal_scores_the_last_by_id_ranks_first_in_every_measure(relevant, rank):
    scores, _ = judged({"q": {relevant: 1}}, q=[])
    assert scores["mrr@10"] == pytest.approx(1 / rank if rank <= 10 else 0)
    assert scores["ndcg@10"] == pytest.approx(1 / math.log2(rank + 1) if rank <= 10 else 0)


def test_judgements_of_documents_that_are_not_there_are_refused_by_name():
    with pytest.raises(
        ValueError, match=r"corpus: judgements name documents that are not there: \['d12', 'gone'\]; give their texts"
    ):
        judged({"q": {"d00": 1, "gone": 1, "d12": 0}}, q=[0])


def test_a_corpus_without_documents_and_a_query_without_judgement_are_refused():
    with pytest.raises(ValueError, match="corpus: expected documents to search, found none"):
        EVALUATOR.judge(ranking(q=[]), Judged("corpus", "retrieval", {"q": "text"}, {}, {"q": {}}))
    with pytest.raises(ValueError, match=r"corpus: queries without a judgement: \['r'\]"):
        EVALUATOR.judge(ranking(q=[]), Judged("corpus", "retrieval", {"q": "t", "r": "t"}, {"d": "t"}, {"q": {"d": 1}}))


# --- search by vectors


def test_dense_search_is_the_inner_product_best_first():
    random = np.random.default_rng(0)
    vectors = {side: random.normal(size=(num, 5)).astype(np.float32) for side, num in (("query", 3), ("document", 7))}
    scores, rows = dense(lambda texts, side, task: vectors[side], "retrieval")(["a"] * 3, ["b"] * 7, 4)
    product = vectors["query"] @ vectors["document"].T
    np.testing.assert_array_equal(rows, np.argsort(-product, axis=1)[:, :4])
    np.testing.assert_allclose(scores, np.sort(product, axis=1)[:, ::-1][:, :4], rtol=1e-5)


def test_fewer_documents_than_the_depth_are_all_ranked():
    ones = {"query": np.ones((1, 2), np.float32), "document": np.eye(2, dtype=np.float32)}
    _, rows = dense(lambda texts, side, task: ones[side], "retrieval")(["a"], ["b", "c"], 100)
    assert sorted(rows[0]) == [0, 1]


def test_an_encoder_is_evaluated_on_texts_of_either_side():
    words = ["cat", "dog", "sun"]

    def encode(texts, side, task):
        assert task == "retrieval"
        assert all(text.startswith(f"{side}: ") for text in texts)
        return np.array([[word in text for word in words] for text in texts], dtype=np.float32)

    asked = {word: f"query: {word}?" for word in words}
    documents = {f"{word}!": f"document: {word}" for word in words}
    scores, items = EVALUATOR.evaluate(encode, Judged("c", "retrieval", asked, documents, {w: {f"{w}!": 1} for w in words}))
    assert scores == {"ndcg@10": 1, "mrr@10": 1, "recall@100": 1}
    assert items == {"id": ["cat", "dog", "sun"], "ndcg@10": [1, 1, 1], "first": ["cat!", "dog!", "sun!"]}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(("side", "number"), [("query", 1), ("document", 2)])
def test_a_vector_that_is_no_number_is_refused_by_side_and_place(bad, side, number):
    vectors = {"query": np.ones((2, 3), np.float32), "document": np.ones((4, 3), np.float32)}
    vectors[side][number, 1] = bad
    with pytest.raises(ValueError, match=f"NaN or infinity for {side} {number}"):
        dense(lambda texts, which, task: vectors[which], "retrieval")(["a"] * 2, ["b"] * 4, 3)


def test_resampling_takes_the_mean_over_the_queries_drawn():
    items = {"id": ["a", "b", "c"], "ndcg@10": [0.0, 0.5, 1.0]}
    counts = np.array([[3, 0, 0], [0, 1, 2], [1, 1, 1]], dtype=np.uint16)
    np.testing.assert_allclose(EVALUATOR.resampled(items, counts), [0, 2.5 / 3, 0.5])


def test_a_depth_too_small_for_recall_is_refused():
    with pytest.raises(ValueError, match="depth must be at least 100, got 99"):
        Retrieval(depth=99)


def by_number(texts, side, task):
    found = [np.random.default_rng(int(text.split()[-1])).normal(size=32) for text in texts]
    return np.array([vector / np.linalg.norm(vector) for vector in found], dtype=np.float32)


@pytest.mark.parametrize("judged", ["a", "z", "az"])
def test_a_text_under_two_ids_is_one_document_whichever_id_was_judged(judged):
    documents = {f"{name}{i}": f"text {i}" for name in "az" for i in range(50)}
    judgements = {f"q{i}": {f"{name}{i}": 1 for name in judged} for i in range(50)}
    collection = Judged("t", "retrieval", {f"q{i}": f"query {i}" for i in range(50)}, documents, judgements)
    scores, items = Retrieval(depth=100).evaluate(by_number, collection)
    assert scores == {"ndcg@10": 1, "recall@100": 1, "mrr@10": 1}
    assert items["first"] == [f"a{q[1:]}" for q in items["id"]]


def test_twins_keep_the_highest_of_their_grades_and_nothing_changes_where_there_are_none():
    twins = Judged("t", "retrieval", {"q": "x"}, {"b": "same", "a": "same", "c": "other"}, {"q": {"b": 2, "a": 0, "c": 1}})
    found = without_twins(twins)
    assert found.documents == {"a": "same", "c": "other"}
    assert found.judgements == {"q": {"a": 2, "c": 1}}
    assert without_twins(found) is found
