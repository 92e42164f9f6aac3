"""What a picture of the loss shows, against the loss of weights placed by hand."""

import pytest
import torch

from pipeline.merging.ada_merging import AdaMerging
from pipeline.merging.self_positioning import SelfPositioning
from pipeline.probing.landscape import survey

POINTS = 5
METHODS = {
    "self_positioning": lambda: SelfPositioning(penalty=0.0, path="slerp", scope="model", previous="mean", linear_above=0.9995),
    "by_layer": lambda: AdaMerging(scope="layer"),
}


def flat(trial, c):
    """The merged task vector, by coefficients under "all" or by tensor."""
    return torch.cat([(c["all"] if "all" in c else c[name]) @ rows[1:] for name, rows in trial.rows.items()])


def loss_at(trial, batch, vector):
    """Of the base and a task vector, put into the encoder one tensor after the other."""
    at = 0
    with torch.no_grad():
        for name, value in trial.judge.encoder.backbone.named_parameters():
            value.copy_((trial.rows[name][0] + vector[at : at + value.numel()]).view_as(value))
            at += value.numel()
        return trial.judge.loss(batch).item()


def surveyed(positioning, num, method):
    """``(landscape, trial, batch, start, found)``."""
    module, trial, batch = positioning(num, METHODS[method]())
    found = module._now()
    with torch.no_grad():
        for parameter in module.method.parameters():
            parameter -= 0.3
            parameter[..., 0] += 1.0
    began = module._now()
    return survey(trial, began, found, POINTS), trial, batch, flat(trial, began), flat(trial, found)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("num", [3, 4])
def test_of_three_and_more_experts_it_goes_over_mixture_and_norm(positioning, num, method):
    picture, trial, batch, began, found = surveyed(positioning, num, method)
    for i, norm in enumerate(picture.y):
        for j, mixture in enumerate(picture.x):
            direction = (1 - mixture) * began / began.norm() + mixture * found / found.norm()
            vector = norm * began.norm() * direction / direction.norm()
            assert picture.loss[i][j] == pytest.approx(loss_at(trial, batch, vector), abs=1e-9)
    assert len({round(value, 9) for row in picture.loss[1:] for value in row}) == POINTS * (POINTS - 1)
    assert len({round(value, 9) for value in picture.loss[0]}) == 1  # without length there is no direction: the base
    assert picture.began == (0.0, 1.0)
    assert picture.ended == (1.0, pytest.approx(float(found.norm() / began.norm())))
    assert min(picture.y) == 0 <= picture.ended[1] < max(picture.y)
    assert min(picture.x) < 0 < 1 < max(picture.x)


def test_of_two_experts_it_goes_over_their_coefficients(positioning):
    picture, trial, batch, began, found = surveyed(positioning, 2, "self_positioning")
    for i, second in enumerate(picture.y):
        for j, first in enumerate(picture.x):
            vector = flat(trial, {"all": torch.tensor([first, second], dtype=torch.float64)})
            assert picture.loss[i][j] == pytest.approx(loss_at(trial, batch, vector), abs=1e-9)
    for place, vector in ((picture.began, began), (picture.ended, found)):
        torch.testing.assert_close(flat(trial, {"all": torch.tensor(place, dtype=torch.float64)}), vector)


def test_one_expert_has_no_plane_and_no_points_no_picture(positioning):
    module, trial, _ = positioning(1, METHODS["self_positioning"]())
    assert survey(trial, module._now(), module._now(), POINTS) is None
    module, trial, _ = positioning(3, METHODS["self_positioning"]())
    assert survey(trial, module._now(), module._now(), 0) is None


def test_equal_numbers_are_drawn_as_equal_bytes_and_told_in_a_table(positioning, tmp_path):
    picture, *_ = surveyed(positioning, 3, "self_positioning")
    for name in ("a.png", "b.png"):
        picture.draw(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    lines = picture.table().splitlines()
    assert lines[0] == "mixture (0: start, 1: found),norm (1: start),loss"
    assert lines[1 + POINTS + 2] == f"{picture.x[2]:.4f},{picture.y[1]:.4f},{picture.loss[1][2]:.6f}"
