from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.infonce import InfoNCE
from pipeline.objective.spread_out import SpreadOut, spread

INNER = {"temperature": 0.1, "symmetric": False, "same_side": []}


def by_hand(pairs):
    """Loops over all pairs of queries, and of main documents with documents; what belongs together is left out."""
    known = {tuple(pair) for pair in pairs.known.tolist()}
    query_text, text = pairs.query_text.tolist(), pairs.document_text.tolist()

    def together(a, b):
        return a == b or (a, b) in known

    costs = []
    for i in range(len(query_text))[pairs.anchors]:
        queries = [
            float(pairs.query[i] @ pairs.query[j]) ** 2
            for j in range(len(query_text))
            if not together(query_text[i], query_text[j])
        ]
        answers = [text[p] for p in pairs.positive[i].tolist() if p >= 0]
        main = int(pairs.positive[i, 0])
        documents = [
            float(pairs.document[main] @ pairs.document[n]) ** 2
            for n in range(len(text))
            if not together(query_text[i], text[n]) and text[n] not in answers and not together(text[main], text[n])
        ]
        costs.append(sum(sum(squares) / max(1, len(squares)) for squares in (queries, documents)))
    return sum(costs) / len(costs)


def test_the_term_equals_loops_over_all_pairs_that_do_not_belong_together(rich):
    for anchors in (slice(0, 6), slice(2, 5)):
        given = rich(anchors=anchors)
        own = float(InfoNCE(**INNER)(given))
        found = float(SpreadOut(objective=InfoNCE(**INNER), weight=3.0)(given))
        assert found == pytest.approx(own + 3 * by_hand(given), rel=1e-9)
        assert float(SpreadOut(objective=InfoNCE(**INNER), weight=0.0)(given)) == pytest.approx(own, rel=1e-12)


def test_axes_cost_nothing_and_a_cone_much(pairs):
    axes = torch.eye(8)
    cone = F.normalize(torch.ones(4, 8) + 0.1 * torch.eye(8)[:4], dim=-1)
    assert spread(pairs(axes[:4], axes[4:])).tolist() == [0.0] * 4
    assert float(spread(pairs(cone, cone)).min()) > 1.9


def test_steps_along_its_gradient_let_signs_tell_more_texts_apart(pairs):
    """Vectors of a narrow cone share nearly all signs; spread out they do not."""
    draw = torch.Generator().manual_seed(0)
    vectors = (2 * torch.ones(24, 16) + torch.randn(24, 16, generator=draw)).requires_grad_()

    def signs():
        return len({tuple(row) for row in (vectors > 0).tolist()})

    before = signs()
    for _ in range(60):
        unit = F.normalize(vectors, dim=-1)
        (gradient,) = torch.autograd.grad(spread(pairs(unit[:12], unit[12:])).mean(), vectors)
        vectors = (vectors - 20 * gradient).detach().requires_grad_()
    assert signs() > before


def test_needs_are_those_of_the_inner_objective_and_a_negative_weight_is_refused(rich):
    inner = InfoNCE(**INNER)
    inner.needs_negatives = True
    assert SpreadOut(objective=inner, weight=1.0).needs_negatives
    with pytest.raises(ValueError, match=r"weight must be 0 .* or more, got -1"):
        SpreadOut(objective=inner, weight=-1)
    given = rich()
    assert torch.isfinite(SpreadOut(objective=inner, weight=1.0)(replace(given, rows_at_once=1)))
