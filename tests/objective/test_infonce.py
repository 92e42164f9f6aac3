import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.infonce import InfoNCE

PLAIN = {"temperature": 0.1, "symmetric": False, "same_side": []}


def by_hand(pairs, temperature, symmetric, same_side):
    """Eq. 4 of arXiv:1807.03748 for each positive, one exponential at a time."""
    query, document = pairs.query.tolist(), pairs.document.tolist()
    text, query_text = pairs.document_text.tolist(), pairs.query_text.tolist()
    answers = [[p for p in row if p >= 0] for row in pairs.positive.tolist()]
    answer_texts = [{text[p] for p in row} for row in answers]
    known = {tuple(pair) for pair in pairs.known.tolist()}

    def belong(one, other):
        return one == other or (one, other) in known

    def e(a, b):
        return math.exp(sum(x * y for x, y in zip(a, b, strict=True)) / temperature)

    costs = []
    for i in range(len(query))[pairs.anchors]:
        of_query = []
        for p in answers[i]:
            wrong = [n for n in range(len(document)) if text[n] not in answer_texts[i] and not belong(query_text[i], text[n])]
            total = e(query[i], document[p]) + sum(e(query[i], document[n]) for n in wrong)
            if "query" in same_side:
                total += sum(e(query[i], query[j]) for j in range(len(query)) if not belong(query_text[i], query_text[j]))
            if "document" in same_side:
                total += sum(e(document[p], document[n]) for n in wrong if not belong(text[p], text[n]))
            cost = -math.log(e(query[i], document[p]) / total)
            if symmetric:
                back = e(query[i], document[p]) + sum(
                    e(document[p], query[j])
                    for j in range(len(query))
                    if not belong(query_text[i], query_text[j])
                    and not belong(text[p], query_text[j])
                    and text[p] not in answer_texts[j]
                )
                cost = (cost - math.log(e(query[i], document[p]) / back)) / 2
            of_query.append(cost)
        costs.append(sum(of_query) / len(of_query))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("same_side", [[], ["query"], ["document"], ["query", "document"]])
def test_the_loss_equals_a_loop_over_everything(rich, temperature, symmetric, same_side):
    settings = {"temperature": temperature, "symmetric": symmetric, "same_side": same_side}
    for anchors in (slice(0, 6), slice(2, 5)):
        given = rich(anchors=anchors, rows_at_once=2)
        text = torch.tensor([1000, 1001, 1002, 1003, 18, 1002])  # queries 2 and 5 are the same words, query 4 is document 18
        given = replace(given, query_text=text)
        assert float(InfoNCE(**settings)(given)) == pytest.approx(by_hand(given, **settings), rel=1e-12)


def test_with_one_positive_and_distinct_texts_it_is_the_cross_entropy(pairs, drawn):
    query, document = drawn(4, 5, seed=0), drawn(9, 5, seed=1)
    positive = torch.tensor([2, 0, 8, 1])
    expected = F.cross_entropy(query @ document.T / 0.1, positive)
    assert float(InfoNCE(**PLAIN)(pairs(query, document, positive))) == pytest.approx(float(expected), rel=1e-12)


def test_vectors_that_all_point_one_way_cost_the_logarithm_of_the_candidates(pairs):
    same = torch.ones(3, 4) / 2
    assert float(InfoNCE(**PLAIN)(pairs(same, same.repeat(2, 1)))) == pytest.approx(math.log(6), rel=1e-6)


def test_a_copy_of_the_positive_costs_nothing_and_another_text_in_its_place_does(pairs):
    query, document = torch.eye(4), torch.cat([torch.eye(4), torch.eye(4)[:1]])
    alone = InfoNCE(**PLAIN)(pairs(query, document[:4]))
    copied = InfoNCE(**PLAIN)(pairs(query, document, document_text=torch.tensor([0, 1, 2, 3, 0])))
    reworded = InfoNCE(**PLAIN)(pairs(query, document))
    assert float(alone) == pytest.approx(math.log1p(3 * math.exp(-10)), rel=1e-4)
    assert float(copied) - float(alone) == pytest.approx(0.75 * math.exp(-10), rel=1e-3)  # a fourth negative for the other 3
    assert float(reworded) == pytest.approx(math.log(2) / 4, rel=1e-2)  # of 4 queries one picks between two equal documents


def test_another_positive_of_a_query_is_no_negative_for_it(pairs, drawn):
    query, document = drawn(2, 5, seed=0), drawn(4, 5, seed=1)
    near = document.clone()
    near[2] = query[0]
    both = torch.tensor([[0, 2], [1, 3]])
    one = torch.tensor([[0, -1], [1, -1]])
    negatives_only = [0, 1, 3]
    first = -torch.log_softmax(query[0] @ near[negatives_only].T / 0.1, 0)[0]
    second = -torch.log_softmax(query[0] @ near[[2, 1, 3]].T / 0.1, 0)[0]
    given = pairs(query, near, both, anchors=slice(0, 1))
    assert float(InfoNCE(**PLAIN)(given)) == pytest.approx(float((first + second) / 2), rel=1e-12)
    assert float(InfoNCE(**PLAIN)(pairs(query, near, one, anchors=slice(0, 1)))) > float(first) + 1


def test_a_hard_negative_raises_the_loss_more_than_an_easy_one(pairs):
    query, document = torch.eye(4)[:2], torch.eye(4)[:2]
    hard = F.normalize(torch.tensor([[0.9, 0.0, 0.1, 0.0]]), dim=-1)
    easy = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    losses = [float(InfoNCE(**PLAIN)(pairs(query, torch.cat([document, extra])))) for extra in (torch.empty(0, 4), easy, hard)]
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("temperature", [0.001, 1.0])
def test_gradients_are_finite_even_where_the_loss_is_nothing_or_large(pairs, temperature):
    for positive in (torch.arange(4), torch.tensor([1, 2, 3, 0])):
        query, document = torch.eye(4, requires_grad=True), torch.eye(4, requires_grad=True)
        settings = {"temperature": temperature, "symmetric": True, "same_side": ["query", "document"]}
        InfoNCE(**settings)(pairs(query, document, positive)).backward()
        assert torch.isfinite(query.grad).all()
        assert torch.isfinite(document.grad).all()


def test_settings_that_make_no_sense_are_refused():
    for temperature in (0, -0.05):
        with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
            InfoNCE(**PLAIN | {"temperature": temperature})
    for same_side in (["passage"], ["query", "query"]):
        with pytest.raises(ValueError, match="same_side may hold query and document, got"):
            InfoNCE(**PLAIN | {"same_side": same_side})


@pytest.mark.parametrize("rows_at_once", [1, 99])
def test_a_query_with_negatives_of_its_own_alone_is_told_apart_from_these_and_from_nothing_else(pairs, rows_at_once):
    draw = torch.Generator().manual_seed(3)
    query, document = (torch.nn.functional.normalize(torch.randn(n, 8, generator=draw).double(), dim=-1) for n in (3, 8))
    document.requires_grad_()
    negative = torch.tensor([[3, 4], [5, -1], [0, 6]])  # the third query's first is the answer of the first
    batch = pairs(query, document, negative=negative, own_alone=True, rows_at_once=rows_at_once)
    loss = InfoNCE(temperature=0.1, symmetric=False, same_side=["query", "document"])(batch)
    plain = InfoNCE(temperature=0.1, symmetric=False, same_side=[])(batch)
    costs = []
    for i, own in enumerate(([3, 4], [5], [0, 6])):
        logits = torch.stack([query[i] @ document[n] for n in (i, *own)]) / 0.1
        costs.append(-logits.log_softmax(0)[0])
    torch.testing.assert_close(plain, torch.stack(costs).mean())
    assert loss > plain  # as seen from the positive, its query's negatives are negatives too
    (gradient,) = torch.autograd.grad(plain, document)
    assert not gradient[7].any()
    alone = pairs(query[:1], document, negative=negative[:1], own_alone=True, rows_at_once=rows_at_once)
    (gradient,) = torch.autograd.grad(InfoNCE(temperature=0.1, symmetric=True, same_side=["query"])(alone), document)
    assert gradient[[0, 3, 4]].abs().sum(1).min() > 0
    assert not gradient[[1, 2, 5, 6, 7]].any()
