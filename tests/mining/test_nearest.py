import numpy as np
import pytest

from pipeline.mining.nearest import Nearest

SETTINGS = {
    "num_negatives": 2, "first_rank": 0, "depth": 10, "max_ratio": 0.95, "min_margin": None,
    "queries_at_once": 5, "documents_at_once": 7,
}  # fmt: skip


def unit(num, width, seed):
    vectors = np.random.default_rng(seed).normal(size=(num, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_hand(query, document, positives, num_negatives, first_rank, depth, max_ratio, min_margin, **blocks):
    found = []
    for i, own in enumerate(positives):
        scores = [float(query[i] @ one) for one in document]
        others = [j for j in range(len(document)) if j not in own]
        nearest = sorted(others, key=lambda j: -scores[j])[first_rank:depth]
        positive = min(scores[j] for j in own)
        limits = [max_ratio and max_ratio * positive, min_margin is not None and positive - min_margin]
        limit = min([one for one in limits if one], default=2)
        found.append([j for j in nearest if scores[j] <= limit][:num_negatives])
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"depth": 40},
        {"depth": 3},
        {"max_ratio": 0.5},
        {"max_ratio": 1.0},
        {"num_negatives": 7},
        {"first_rank": 4},
        {"min_margin": 0.3},
        {"min_margin": 0.02},
        {"max_ratio": None},
        {"max_ratio": None, "min_margin": 0.1},
    ],
)
def test_negatives_are_those_of_a_search_by_hand(changes):
    query, document = unit(12, 4, 0), unit(40, 4, 1)
    nearest = np.argsort(-(query @ document.T), axis=1)  # a positive is near, as it is after training
    positives = [{int(nearest[i][i % 4])} | ({int(nearest[i][6])} if i % 3 == 0 else set()) for i in range(12)]
    expected = by_hand(query, document, positives, **SETTINGS | changes)
    assert Nearest(**SETTINGS | changes)(query, document, positives) == expected
    assert any(expected)


def line(*cosines):
    """Documents at these cosines from the query (1, 0)."""
    return np.array([[c, np.sqrt(1 - c * c)] for c in cosines], dtype=np.float32)


QUERY = np.array([[1.0, 0.0]], dtype=np.float32)


def test_a_document_too_near_to_the_positive_is_taken_for_another_positive():
    document = line(0.8, 0.79, 0.7, 0.6)  # 0.95 of 0.8 is 0.76
    assert Nearest(**SETTINGS)(QUERY, document, [{0}]) == [[2, 3]]
    assert Nearest(**SETTINGS | {"max_ratio": 1.0})(QUERY, document, [{0}]) == [[1, 2]]


def test_a_document_nearer_than_the_positive_is_no_negative():
    assert Nearest(**SETTINGS)(QUERY, line(0.5, 0.9, 0.3), [{0}]) == [[2]]


def test_a_margin_is_a_difference_where_a_ratio_is_a_share():
    document = line(0.2, 0.195, 0.15, 0.0)
    by_margin = Nearest(**SETTINGS | {"max_ratio": None, "min_margin": 0.1})
    assert by_margin(QUERY, document, [{0}]) == [[3]]
    assert Nearest(**SETTINGS)(QUERY, document, [{0}]) == [[2, 3]]
    assert Nearest(**SETTINGS | {"min_margin": 0.1})(QUERY, document, [{0}]) == [[3]]


def test_a_positive_of_negative_score_is_above_its_negatives_too():
    assert Nearest(**SETTINGS)(QUERY, line(-0.4, -0.39, -0.41, -0.5), [{0}]) == [[3]]  # 5 percent of 0.4 below -0.4 is -0.42


def test_the_first_ranks_can_be_passed_over_and_own_documents_have_no_rank():
    document = line(0.9, 0.8, 0.7, 0.6, 0.5)
    assert Nearest(**SETTINGS | {"first_rank": 1})(QUERY, document, [{0}]) == [[2, 3]]
    assert Nearest(**SETTINGS | {"first_rank": 1, "max_ratio": None})(QUERY, document, [{1}]) == [[2, 3]]


def test_barred_documents_are_no_negatives_and_have_no_rank():
    document = line(0.9, 0.8, 0.7, 0.6, 0.5)
    assert Nearest(**SETTINGS | {"depth": 2})(QUERY, document, [{0}], [{1, 2}]) == [[3, 4]]


def test_with_several_positives_the_farthest_sets_the_limit_and_none_is_a_negative():
    assert Nearest(**SETTINGS)(QUERY, line(0.9, 0.5, 0.8, 0.4, 0.3), [{0, 1}]) == [[3, 4]]


def test_equal_scores_are_taken_in_the_order_of_the_documents():
    assert Nearest(**SETTINGS)(QUERY, line(0.9, 0.5, 0.5, 0.5), [{0}]) == [[1, 2]]


def test_a_query_may_be_left_without_negatives():
    assert Nearest(**SETTINGS)(QUERY, line(0.5, 0.9), [{0}]) == [[]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_negatives": 0}, "ranks 0 to 10 must hold num_negatives >= 1, got 0"),
        ({"depth": 1}, "ranks 0 to 1 must hold num_negatives >= 1, got 2"),
        ({"first_rank": 9}, "ranks 9 to 10 must hold"),
        ({"first_rank": -1}, "ranks -1 to 10"),
        ({"min_margin": 3.0}, "got 3.0"),
        ({"documents_at_once": 0}, "got 5 and 0"),
        ({"max_ratio": 95}, "got 95; write 0.95"),
        ({"max_ratio": 0}, "got 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Nearest(**SETTINGS | changes)
