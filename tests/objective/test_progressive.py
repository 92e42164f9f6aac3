from dataclasses import replace

import pytest
import torch

from pipeline.objective.infonce import InfoNCE
from pipeline.objective.progressive import Progressive, focal_importance

SETTINGS = {
    "kind": "none", "temperature": 0.1, "max_gamma": 2.0, "start": 0.1, "end": 0.7, "epsilon": 0.001, "max_importance": 5.0,
    "momentum": 0.01, "margin": 0.0,
}  # fmt: skip
PLAIN = InfoNCE(temperature=0.1, symmetric=False, same_side=[])


def of_kind(kind, **changes):
    return Progressive(**SETTINGS | {"kind": kind} | changes).double()


def each(objective, rich, **changes):
    return [objective(rich(anchors=slice(i, i + 1), **changes)) for i in range(6)]


def curricular_by_hand(pairs, t, temperature, margin):
    similarity = (pairs.query @ pairs.document.T).tolist()
    text = pairs.document_text.tolist()
    asked, known = pairs.query_text.tolist(), {tuple(pair) for pair in pairs.known.tolist()}
    costs = []
    for i in range(len(similarity))[pairs.anchors]:
        answers = [p for p in pairs.positive[i].tolist() if p >= 0]
        of_query = []
        for p in answers:
            own = similarity[i][p]
            barred = {asked[i], *(text[a] for a in answers)}
            negatives = [
                s for s, one in zip(similarity[i], text, strict=True) if one not in barred and (asked[i], one) not in known
            ]
            negatives = [s * (t + s) if s > own - margin and s > 0 else s for s in negatives]
            logits = torch.tensor([own, *negatives], dtype=torch.float64) / temperature
            of_query.append(-float(logits.log_softmax(0)[0]))
        costs.append(sum(of_query) / len(of_query))
    return sum(costs) / len(costs)


@pytest.mark.parametrize(("kind", "progress"), [("none", 0.9), ("query_focal", 0.0), ("query_focal", 0.1)])
def test_before_it_begins_it_is_infonce(rich, kind, progress):
    given = rich(progress=progress)
    assert of_kind(kind)(given) == PLAIN(given)


@pytest.mark.parametrize(("progress", "gamma"), [(0.05, 0.0), (0.1, 0.0), (0.4, 1.0), (0.7, 2.0), (1.0, 2.0)])
def test_gamma_rises_from_start_to_end_and_stays(progress, gamma):
    assert of_kind("query_focal").gamma(progress) == pytest.approx(gamma)


@pytest.mark.parametrize("max_importance", [5.0, 1.2])
def test_query_focal_counts_each_query_by_the_share_its_positive_lacks(rich, max_importance):
    given = rich(progress=0.4)
    costs = torch.stack(each(PLAIN, rich, progress=0.4))
    raw = [(1 - float(torch.exp(-cost)) + 0.001) ** 1.0 for cost in costs]
    importance = [min(one / (sum(raw) / 6), max_importance) for one in raw]
    expected = sum(w * float(cost) for w, cost in zip(importance, costs, strict=True)) / 6
    assert float(of_kind("query_focal", max_importance=max_importance)(given)) == pytest.approx(expected, rel=1e-12)


def test_importance_is_1_on_average_and_higher_for_a_costlier_query():
    found = focal_importance(torch.tensor([0.1, 0.5, 2.0, 9.0]), gamma=1.0, epsilon=0.001, max_importance=5.0)
    assert float(found.mean()) == pytest.approx(1)
    assert found.tolist() == sorted(found.tolist())
    assert focal_importance(torch.tensor([0.0] * 9 + [9.0]), gamma=3.0, epsilon=0.001, max_importance=5.0).max() == 5


def test_importance_is_no_way_to_lower_the_loss(rich):
    given = rich(progress=0.7)
    query = given.query.clone().requires_grad_()
    ours = torch.autograd.grad(of_kind("query_focal")(replace(given, query=query)), query)[0]
    costs = torch.stack(each(PLAIN, lambda **kw: replace(rich(**kw), query=query)))
    importance = focal_importance(costs, gamma=2.0, epsilon=0.001, max_importance=5.0)
    theirs = torch.autograd.grad((importance * costs).mean(), query)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows_at_once", [2, 100])
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("t", [0.0, 0.4, 0.9])
def test_curricular_equals_a_loop_over_negatives(rich, t, margin, rows_at_once):
    objective = of_kind("curricular", margin=margin).eval()
    objective.t.fill_(t)
    for anchors in (slice(0, 6), slice(2, 5)):
        given = rich(anchors=anchors, rows_at_once=rows_at_once)
        assert float(objective(given)) == pytest.approx(curricular_by_hand(given, t, 0.1, margin), rel=1e-12)


def test_the_average_follows_the_positives_of_the_global_batch_once_a_step_and_in_training_only(rich):
    objective = of_kind("curricular", momentum=0.25)
    given = rich(anchors=slice(4, 6), rows_at_once=1)
    similarity = given.query @ given.document.T
    means = [similarity[i, [p for p in row if p >= 0]].mean() for i, row in enumerate(given.positive.tolist())]
    mean = float(sum(means) / 6)
    for expected in (0.25 * mean, 0.25 * mean * 1.75):
        query = given.query.clone().requires_grad_()
        objective(replace(given, query=query)).backward()  # blocks are made anew at backward
        assert float(objective.t) == pytest.approx(expected)
    before = objective.t.clone()
    with torch.no_grad():
        objective(given)
    objective.eval()(given)
    assert objective.t == before
    assert objective.state_dict() == {"t": before}  # a resumed training finds it again


def test_the_backward_of_a_step_uses_the_average_of_that_step(rich):
    objective = of_kind("curricular", momentum=0.9)
    query = rich().query.clone().requires_grad_()
    first = objective(replace(rich(rows_at_once=2), query=query))
    objective(rich())
    late = torch.autograd.grad(first, query)[0]
    again = of_kind("curricular", momentum=0.9)(replace(rich(), query=query))
    torch.testing.assert_close(late, torch.autograd.grad(again, query)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
@pytest.mark.parametrize("kind", ["none", "query_focal", "curricular"])
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(rich, kind, parts):
    def value(anchors):
        query = rich().query.clone().requires_grad_()
        loss = of_kind(kind)(replace(rich(anchors=anchors, progress=0.5), query=query))
        return torch.cat([loss.detach()[None], torch.autograd.grad(loss, query)[0].flatten()])

    shared = [value(slice(6 // parts * k, 6 // parts * (k + 1))) for k in range(parts)]
    torch.testing.assert_close(torch.stack(shared).mean(0), value(slice(0, 6)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "focal"}, "kind must be none, query_focal or curricular, got 'focal'"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"start": 0.7, "end": 0.1}, "got 0.7 and 0.1"),
        ({"epsilon": 0.0}, "epsilon > 0"),
        ({"max_importance": 0.5}, "max_importance >= 1"),
        ({"momentum": 0.0}, r"in \(0, 1\], got 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        of_kind(**{"kind": "none"} | changes)
