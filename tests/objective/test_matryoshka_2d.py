from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.infonce import InfoNCE
from pipeline.objective.matryoshka import Matryoshka
from pipeline.objective.matryoshka_2d import Matryoshka2D, alignment

INNER = {"temperature": 0.1, "symmetric": False, "same_side": []}
DIMS = {"dims": [1.0, 0.5], "coefficients": None, "dims_at_once": None}
SETTINGS = DIMS | {"layers_at_once": None, "kl_temperature": 0.3, "move_last": False}


def layered(rich, num, **changes):
    layers = tuple((rich(width=8, seed=20 + i).query, rich(width=8, seed=20 + i).document) for i in range(num))
    given = rich(width=8, **changes)
    return replace(given, layers=(*layers, (given.query, given.document)))


def made(**changes):
    return Matryoshka2D(objective=InfoNCE(**INNER), **SETTINGS | changes)


def pull_by_hand(early, last):
    return float(F.kl_div((early / 0.3).log_softmax(1), (last / 0.3).softmax(1), reduction="batchmean"))


def by_hand(pairs, chosen):
    inner = Matryoshka(objective=InfoNCE(**INNER), **DIMS)
    total = float(inner(pairs))
    for i in chosen:
        query, document = pairs.layers[i]
        total += float(inner(replace(pairs, query=query, document=document))) / ((1 + i) * len(chosen))
        total += 0.3 * pull_by_hand(torch.cat([query, document]), torch.cat([pairs.query, pairs.document]))
    return total


def test_the_loss_is_that_of_the_last_block_and_of_the_earlier_ones_and_the_pull(rich):
    given = layered(rich, 3)
    assert float(made()(given)) == pytest.approx(by_hand(given, [0, 1, 2]), rel=1e-9)


def test_the_blocks_of_a_step_follow_from_progress_alone(rich):
    seen = set()
    for step in range(12):
        given = layered(rich, 3, progress=step / 12)
        found = float(made(layers_at_once=1)(given))
        assert found == float(made(layers_at_once=1)(given))
        seen.add(next(i for i in range(3) if found == pytest.approx(by_hand(given, [i]), rel=1e-9)))
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("move_last", [False, True])
def test_the_pull_moves_the_last_block_only_where_it_may(rich, move_last):
    given = layered(rich, 1)
    query = given.query.clone().requires_grad_()
    found = torch.autograd.grad(made(move_last=move_last)(replace(given, query=query)), query)[0]
    without = torch.autograd.grad(Matryoshka(objective=InfoNCE(**INNER), **DIMS)(replace(given, query=query)), query)[0]
    assert torch.allclose(found, without) is not move_last


def test_equal_vectors_need_no_pull(drawn):
    assert float(alignment(drawn(4, 8, seed=0), drawn(4, 8, seed=0), temperature=0.3)) == pytest.approx(0, abs=1e-15)


def test_more_blocks_than_there_are_before_the_last_are_refused(rich):
    for num, settings in ((0, {}), (2, {"layers_at_once": 3})):
        with pytest.raises(ValueError, match=f"the encoder has {num}; lower layers_at_once"):
            made(**settings)(layered(rich, num))


@pytest.mark.parametrize(("changes", "message"), [({"layers_at_once": 0}, "got 0"), ({"kl_temperature": 0.0}, "got 0.0")])
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        made(**changes)
