"""Mixes against a loop over queries, and what they come to at their ends."""

import math
import random
from dataclasses import replace

import pytest
import torch

from pipeline.objective.candidates import NONE
from pipeline.objective.infonce import InfoNCE
from pipeline.objective.metrix import Metrix, mixed_costs
from pipeline.objective.queue import Queue

INFONCE = {"temperature": 0.05, "symmetric": False, "same_side": []}
T = 0.05


def metrix(**changes):
    settings = {"weight": 0.4, "alpha": 2.0, "temperature": T, "mixes": ["positive", "anchor"], "random_labels": False}
    return Metrix(objective=InfoNCE(**INFONCE), **settings | changes)


def negatives(batch, i):
    """Documents that are no answer of query i, by its own texts and what is known, one after the other."""
    query = int(batch.query_text[i])
    answers = {int(batch.document_text[n]) for n in batch.positive[i].tolist() if n >= 0}
    barred = {query} | answers | {b for a, b in batch.known.tolist() if a == query}
    return [n for n in range(len(batch.document)) if int(batch.document_text[n]) not in barred]


def by_hand(batch, share, label, of):
    costs = []
    for i in range(len(batch.query)):
        q, p = batch.query[i], batch.document[batch.positive[i, 0]]
        wrong = negatives(batch, i)
        nearest = max(wrong, key=lambda n: float(q @ batch.document[n]))
        mix = share[i] * (p if of == "positive" else q) + (1 - share[i]) * batch.document[nearest]
        mix = mix / mix.norm()
        rest = [math.exp(float(q @ batch.document[n]) / T) for n in wrong]
        v, answer = math.exp(float(q @ mix) / T), math.exp(float(q @ p) / T)
        first = -math.log(v / (v + sum(rest)))
        second = -math.log(answer / (answer + v + sum(rest)))
        costs.append(label[i] * first + (1 - label[i]) * second)
    return torch.tensor(costs, dtype=torch.float64)


@pytest.mark.parametrize("rows_at_once", [1, 4096])
@pytest.mark.parametrize("of", ["positive", "anchor"])
def test_a_mix_counts_as_an_answer_by_its_share_and_else_as_a_negative(rich, of, rows_at_once):
    batch = rich(rows_at_once=rows_at_once)
    draw = random.Random(0)
    share, label = ([draw.random() for _ in range(6)] for _ in range(2))
    given = [torch.tensor(values, dtype=torch.float64) for values in (share, label)]
    found = mixed_costs(batch, *given, of=of, temperature=T)
    torch.testing.assert_close(found, by_hand(batch, share, label, of), rtol=1e-9, atol=1e-9)


def test_the_loss_is_the_objective_and_the_weighted_mean_of_the_mixes(rich):
    batch = rich(progress=0.25)
    draw = random.Random("metrix 0.25")
    of = draw.choice(("positive", "anchor"))
    share = [draw.betavariate(2.0, 2.0) for _ in range(6)]
    expected = InfoNCE(**INFONCE)(batch) + 0.4 * by_hand(batch, share, share, of).mean()
    torch.testing.assert_close(metrix()(batch), expected, rtol=1e-5, atol=1e-5)  # shares are drawn in float32


def test_a_mix_that_is_all_answer_costs_what_infonce_costs(rich):
    """With one positive: share 1 gives the base loss."""
    batch = rich()
    batch = replace(batch, positive=batch.positive[:, :1])
    ones = torch.ones(6, dtype=torch.float64)
    found = mixed_costs(batch, ones, ones, of="positive", temperature=T).mean()
    torch.testing.assert_close(found, InfoNCE(**INFONCE)(batch), rtol=1e-9, atol=1e-9)


def test_weight_zero_is_the_objective_to_the_bit(rich):
    assert torch.equal(metrix(weight=0.0)(rich()), InfoNCE(**INFONCE)(rich()))


def test_a_query_without_any_negative_costs_nothing(pairs, drawn):
    batch = pairs(drawn(2, 4, seed=0), drawn(2, 4, seed=1), known=[(1000, 1), (1001, 0)])
    half = torch.full((2,), 0.5)
    found = mixed_costs(batch, half, half, of="positive", temperature=T)
    assert found.tolist() == [0.0, 0.0]
    assert NONE < 0


def test_answer_query_and_wrong_text_are_all_moved(rich):
    batch = rich()
    query, document = batch.query.clone().requires_grad_(), batch.document.clone().requires_grad_()
    metrix()(replace(batch, query=query, document=document)).backward()
    assert query.grad.any(1).all()
    assert document.grad[batch.positive[:, 0]].any(1).all()


def test_the_control_gives_a_mix_any_label(rich):
    assert metrix(random_labels=True)(rich()).item() != metrix()(rich()).item()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"alpha": 0.0}, "alpha > 0"), ({"mixes": []}, "positive, anchor or both"), ({"weight": -1.0}, "weight >= 0")],
)
def test_what_no_mix_can_be_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        metrix(**wrong)
    with pytest.raises(ValueError, match="inside of the queue"):
        Metrix(
            objective=Queue(objective=InfoNCE(**INFONCE), size=2, momentum=0.5, side="query"), weight=0.4, alpha=2.0,
            temperature=T, mixes=["positive"], random_labels=False,
        )  # fmt: skip
