import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.codiemb_ir import CoDiEmbIR
from pipeline.objective.infonce import InfoNCE


def by_hand(pairs, temperature):
    """One slot of positives after the other, one exponential at a time."""
    query, document = pairs.query.tolist(), pairs.document.tolist()
    text = pairs.document_text.tolist()
    mined = {n for row in pairs.negative.tolist() for n in row if n >= 0}
    positive = pairs.positive.tolist()
    asked, known = pairs.query_text.tolist(), {tuple(pair) for pair in pairs.known.tolist()}

    def e(i, n):
        return math.exp(sum(x * y for x, y in zip(query[i], document[n], strict=True)) / temperature)

    costs = []
    for i in range(len(query))[pairs.anchors]:
        own_texts = {text[p] for p in positive[i] if p >= 0}
        of_query = []
        for slot in range(len(positive[i])):
            p = positive[i][slot]
            if p >= 0:
                candidates = {row[slot] for row in positive if row[slot] >= 0} | mined
                others = [n for n in candidates if text[n] not in own_texts | {asked[i]} and (asked[i], text[n]) not in known]
                of_query.append(-math.log(e(i, p) / (e(i, p) + sum(e(i, n) for n in others))))
        costs.append(sum(of_query) / len(of_query))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("rows_at_once", [2, 100])
def test_the_loss_equals_a_loop_over_slots(rich, temperature, rows_at_once):
    for anchors in (slice(0, 6), slice(2, 5)):
        given = rich(anchors=anchors, rows_at_once=rows_at_once)
        assert float(CoDiEmbIR(temperature=temperature)(given)) == pytest.approx(by_hand(given, temperature), rel=1e-12)


def test_a_positive_that_was_mined_for_another_query_is_one_candidate_not_two(pairs, drawn):
    given = pairs(drawn(3, 4, seed=0), drawn(4, 4, seed=1), negative=torch.tensor([[1], [3], [3]]))
    assert float(CoDiEmbIR(temperature=0.1)(given)) == pytest.approx(by_hand(given, 0.1), rel=1e-12)


def test_with_one_positive_and_distinct_texts_it_is_infonce(pairs, drawn):
    given = pairs(drawn(3, 4, seed=0), drawn(6, 4, seed=1), negative=torch.tensor([[3], [4], [5]]))
    infonce = InfoNCE(temperature=0.1, symmetric=False, same_side=[])
    assert float(CoDiEmbIR(temperature=0.1)(given)) == pytest.approx(float(infonce(given)), rel=1e-12)


def test_second_positives_of_other_queries_are_seen_in_the_second_slot_only(pairs):
    query = torch.eye(4)[:2]
    document = torch.stack([torch.eye(4)[0], torch.eye(4)[1], torch.eye(4)[2], torch.eye(4)[0]])
    given = pairs(
        query, document, torch.tensor([[0, 2], [1, 3]]), anchors=slice(0, 1)
    )  # what is second for 1 looks like query 0
    first = -math.log(math.e**10 / (math.e**10 + 1))
    second = -F.log_softmax(torch.tensor([0.0, 10.0]), 0)[0]
    assert float(CoDiEmbIR(temperature=0.1)(given)) == pytest.approx((first + float(second)) / 2, rel=1e-5)


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        CoDiEmbIR(temperature=0)
