import pytest
import torch

from pipeline.objective.triplet import Triplet


def by_hand(pairs, margin, negatives):
    similarity = (pairs.query @ pairs.document.T).tolist()
    text = pairs.document_text.tolist()
    asked, known = pairs.query_text.tolist(), {tuple(pair) for pair in pairs.known.tolist()}
    costs = []
    for i in range(len(similarity))[pairs.anchors]:
        answers = [p for p in pairs.positive[i].tolist() if p >= 0]
        wrong = [n for n in pairs.negative[i].tolist() if n >= 0]
        if negatives == "hardest":
            barred = {asked[i], *(text[p] for p in answers)}
            others = [n for n in range(len(text)) if text[n] not in barred and (asked[i], text[n]) not in known]
            wrong = [max(others, key=lambda n: similarity[i][n])]
        of_query = [max(0, margin + similarity[i][n] - similarity[i][p]) for p in answers for n in wrong]
        costs.append(sum(of_query) / len(of_query) if of_query else 0)
    return sum(costs) / len(costs)


@pytest.mark.parametrize("negatives", ["mined", "hardest"])
@pytest.mark.parametrize("rows_at_once", [2, 100])
def test_the_loss_equals_a_loop_over_triplets(rich, negatives, rows_at_once):
    for anchors in (slice(0, 6), slice(2, 5)):
        given = rich(anchors=anchors, rows_at_once=rows_at_once)
        found = Triplet(margin=0.3, negatives=negatives)(given)
        assert float(found) == pytest.approx(by_hand(given, 0.3, negatives), rel=1e-12)


def test_a_pair_that_stands_right_by_the_margin_costs_nothing_and_pulls_nowhere(pairs):
    query = torch.eye(3).requires_grad_()
    loss = Triplet(margin=0.9, negatives="hardest")(pairs(query, torch.eye(3)))
    loss.backward()
    assert loss == 0
    assert not query.grad.any()
    assert float(Triplet(margin=1.25, negatives="hardest")(pairs(torch.eye(3), torch.eye(3)))) == pytest.approx(0.25)


def test_where_every_document_answers_there_is_no_negative(pairs):
    one_text = torch.zeros(3, dtype=torch.long)
    assert float(Triplet(margin=0.3, negatives="hardest")(pairs(torch.eye(3), torch.eye(3), document_text=one_text))) == 0


def test_mined_negatives_are_asked_for():
    assert Triplet(margin=0.3, negatives="mined").needs_negatives
    assert not Triplet(margin=0.3, negatives="hardest").needs_negatives


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"margin": 0.0}, "got 0.0"), ({"margin": 2.5}, "got 2.5"), ({"negatives": "all"}, "mined or hardest, got 'all'")],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Triplet(**{"margin": 0.3, "negatives": "mined"} | changes)
