import math
from functools import partial

import numpy as np
import pytest

from pipeline.baseline.bm25 import Bm25
from pipeline.baseline.bm25 import bm25 as searched
from pipeline.corpus.collection import Judged
from pipeline.evaluator.retrieval import Retrieval

DOCUMENTS = ["cat sat mat", "dog ran park ran", "cat cat dog", "sunny weather outside tomorrow", "mat"]
K1, B = 0.9, 0.4
bm25 = partial(searched, k1=K1, b=B)


def by_hand(query, document):
    """Lucene's BM25: the numerator has no (k1 + 1), the inverse document frequency is never negative."""
    texts = [text.split() for text in DOCUMENTS]
    length = sum(map(len, texts)) / len(texts)
    total = 0.0
    for word in query.split():
        holding = sum(word in text for text in texts)
        idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        count = document.split().count(word)
        total += idf * count / (count + K1 * (1 - B + B * len(document.split()) / length)) if holding else 0
    return total


@pytest.mark.parametrize("query", ["cat", "dog ran", "mat cat weather", "cat unseen"])
def test_scores_are_those_of_the_formula(query):
    scores, rows = bm25([query], DOCUMENTS, 5)
    expected = [by_hand(query, document) for document in DOCUMENTS]
    found = {row: score for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True) if row >= 0}
    assert found == pytest.approx({row: score for row, score in enumerate(expected) if score > 0}, rel=1e-5)
    assert scores[0].tolist() == sorted(scores[0].tolist(), reverse=True)


def test_letter_case_and_stop_words_make_no_difference():
    plain, _ = bm25(["cat mat"], DOCUMENTS, 5)
    dressed, _ = bm25(["The CAT, and the Mat?"], DOCUMENTS, 5)
    np.testing.assert_allclose(plain, dressed)


def test_stop_words_do_not_make_a_document_longer():
    dressed = [f"the {document} and a" for document in DOCUMENTS]
    np.testing.assert_allclose(bm25(["cat mat"], dressed, 5)[0], bm25(["cat mat"], DOCUMENTS, 5)[0])


def test_as_many_documents_are_ranked_as_asked_for_or_as_there_are():
    for depth, expected in ((2, 2), (100, 5)):
        scores, rows = bm25(["cat", "dog"], DOCUMENTS, depth)
        assert scores.shape == rows.shape == (2, expected)


def test_a_query_without_a_known_word_finds_nothing():
    scores, rows = bm25(["the", "unseen words"], DOCUMENTS, 5)
    assert not scores.any()
    assert (rows == -1).all()


def test_a_document_without_a_common_word_is_not_found_whatever_its_name():
    """The last document by id would stand first among equal scores: an answer by luck."""
    collection = Judged("x", "retrieval", {"q": "unseen"}, {"a": "cat", "z": "dog"}, {"q": {"z": 1}})
    scores, _ = Bm25(k1=K1, b=B).answer(Retrieval(depth=100), collection)
    assert scores == {"ndcg@10": 0, "recall@100": 0, "mrr@10": 0}


def test_what_counts_for_nothing_is_refused():
    for k1, b in ((-0.1, 0.4), (0.9, 1.1)):
        with pytest.raises(ValueError, match=r"b in \[0, 1\]"):
            Bm25(k1=k1, b=b)


def test_documents_without_a_word_are_all_as_far():
    scores, rows = bm25(["cat", "dog"], ["a", "!", "the"], 100)
    assert not scores.any()
    assert rows.tolist() == [[-1, -1, -1]] * 2
