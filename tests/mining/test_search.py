import numpy as np
import pytest

from pipeline.mining import search
from pipeline.mining.search import nearest


def unit(num, width, seed):
    vectors = np.random.default_rng(seed).normal(size=(num, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_hand(query, document, k):
    score = query.astype(np.float64) @ document.astype(np.float64).T
    rows = [sorted(range(len(document)), key=lambda j, i=i: (-score[i, j], j))[:k] for i in range(len(query))]
    return np.take_along_axis(score, np.array(rows), axis=1), np.array(rows)


@pytest.mark.parametrize(("queries_at_once", "documents_at_once"), [(1, 1), (3, 7), (100, 10), (5, 100), (100, 1000)])
@pytest.mark.parametrize("k", [1, 5, 59, 60, 99])
def test_neighbours_are_those_of_a_full_sort_whatever_the_blocks(k, queries_at_once, documents_at_once):
    query, document = unit(11, 6, 0), unit(60, 6, 1)
    document[40:50] = document[0]  # ten copies, of which a few are cut off
    query[3] = document[0]
    score, row = nearest(query, document, k, queries_at_once=queries_at_once, documents_at_once=documents_at_once)
    expected = by_hand(query, document, min(k, 60))
    np.testing.assert_array_equal(row, expected[1])
    np.testing.assert_allclose(score, expected[0], rtol=0, atol=1e-15)


def test_of_more_copies_than_are_asked_for_the_first_rows_are_taken():
    document = np.repeat(unit(2, 4, 0), 50, axis=0)
    _, row = nearest(document[:1], document, 5, queries_at_once=10, documents_at_once=30)
    assert row.tolist() == [[0, 1, 2, 3, 4]]


def test_no_block_is_larger_than_said(monkeypatch):
    shapes = []
    knn = search.faiss.knn
    monkeypatch.setattr(
        search.faiss, "knn", lambda q, d, *more, **kw: shapes.append((len(q), len(d))) or knn(q, d, *more, **kw)
    )
    nearest(unit(10, 4, 0), unit(50, 4, 1), 5, queries_at_once=4, documents_at_once=20)
    assert shapes == [(q, d) for q in (4, 4, 2) for d in (20, 20, 10)]


def test_documents_may_lie_on_disk(tmp_path):
    np.save(tmp_path / "vectors.npy", unit(50, 4, 1))
    lying = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    found = nearest(unit(3, 4, 0), lying, 5, queries_at_once=2, documents_at_once=20)
    np.testing.assert_array_equal(found[1], by_hand(unit(3, 4, 0), unit(50, 4, 1), 5)[1])
