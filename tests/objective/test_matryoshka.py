from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.infonce import InfoNCE
from pipeline.objective.matryoshka import Matryoshka
from pipeline.objective.progressive import Progressive

INNER = {"temperature": 0.1, "symmetric": False, "same_side": []}
SETTINGS = {"dims": [1.0, 0.5, 2], "coefficients": None, "dims_at_once": None}
CURRICULAR = {
    "kind": "curricular", "temperature": 0.1, "max_gamma": 1.0, "start": 0.1, "end": 0.7, "epsilon": 0.001,
    "max_importance": 5.0, "momentum": 0.5, "margin": 0.0,
}  # fmt: skip


def matryoshka(**changes):
    return Matryoshka(objective=InfoNCE(**INNER), **SETTINGS | changes)


def cut(pairs, width):
    return replace(
        pairs, query=F.normalize(pairs.query[:, :width], dim=-1), document=F.normalize(pairs.document[:, :width], dim=-1)
    )


@pytest.mark.parametrize("coefficients", [None, [1.0, 0.5, 2.0]])
def test_the_loss_is_the_sum_over_shortened_vectors_of_unit_length(rich, coefficients):
    given = rich(width=8)
    expected = sum(
        c * InfoNCE(**INNER)(cut(given, width)) for c, width in zip(coefficients or [1, 1, 1], (8, 4, 2), strict=True)
    )
    assert float(matryoshka(coefficients=coefficients)(given)) == pytest.approx(float(expected), rel=1e-12)


def test_the_dims_of_a_step_follow_from_progress_alone_and_all_have_their_turn(rich):
    alone = {float(InfoNCE(**INNER)(cut(rich(width=8), width))): width for width in (8, 4, 2)}
    seen = []
    for step in range(30):
        given = rich(width=8, progress=step / 30)
        losses = {float(matryoshka(dims_at_once=1)(given)) for _ in range(3)}
        assert len(losses) == 1
        found = losses.pop()
        seen.append(next(width for loss, width in alone.items() if loss == pytest.approx(found, rel=1e-12)))
    assert set(seen) == {8, 4, 2}
    assert {seen.count(width) for width in (8, 4, 2)} <= set(range(4, 20))


def test_layers_are_shortened_too(rich):
    class Middle(torch.nn.Module):
        needs_score = needs_negatives = needs_teacher = False
        needs_layers, needs_slow = True, False

        def forward(self, pairs):
            return pairs.layers[0][0].square().sum(1).mean() + pairs.layers[0][0].shape[1]

    given = replace(rich(width=8), layers=((rich(width=8, seed=3).query, rich(width=8, seed=3).document),))
    wrapped = Matryoshka(objective=Middle(), **SETTINGS | {"dims": [0.5]})
    assert wrapped.needs_layers
    assert float(wrapped(given)) == pytest.approx(5)


def test_a_moving_average_inside_is_one_for_each_dim(rich):
    objective = Matryoshka(objective=Progressive(**CURRICULAR), **SETTINGS).double()
    objective(rich(width=8))
    assert len({float(value) for value in objective.buffers()}) == 3


def test_small_encoders_and_dims_that_do_not_fit_are_refused(rich):
    with pytest.raises(ValueError, match=r"dims \[1.0, 0.5, 2\] are \[4, 2, 2\] of an encoder of width 4"):
        matryoshka()(rich(width=4))
    with pytest.raises(ValueError, match=r"dims \[64\] are \[64\] of an encoder of width 8; give fewer or smaller ones"):
        matryoshka(dims=[64])(rich(width=8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": []}, "different positive numbers"),
        ({"dims": [0.5, 0.5]}, "different positive numbers"),
        ({"dims": [0.0]}, "different positive numbers"),
        ({"dims": [64.5]}, "must be whole"),
        ({"coefficients": [1.0]}, "one positive coefficient for each of 3 dims"),
        ({"dims_at_once": 4}, "dims_at_once must be 1 to 3"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        matryoshka(**changes)
