import cmath

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.angle import AnglE, angle_similarity
from pipeline.objective.cosent import cosent
from pipeline.objective.infonce import best_pairs_cost

SETTINGS = {
    "cosine": 0.5, "cosine_scale": 20.0, "angle": 0.02, "angle_scale": 10.0,
    "in_batch": 1.0, "temperature": 0.05, "best_from": 1.0,
}  # fmt: skip


def test_the_similarity_is_the_quotient_of_complex_vectors(drawn):
    x, y = 3 * drawn(4, 6, seed=0), 0.5 * drawn(4, 6, seed=1)
    for i, found in enumerate(angle_similarity(x, y).tolist()):
        z = [complex(a, b) for a, b in zip(x[i, :3].tolist(), x[i, 3:].tolist(), strict=True)]
        w = [complex(c, d) for c, d in zip(y[i, :3].tolist(), y[i, 3:].tolist(), strict=True)]
        total = sum(abs(c) ** 2 for c in w)
        quotient = sum(a * c.conjugate() / total for a, c in zip(z, w, strict=True))
        length = (sum(abs(a) ** 2 for a in z) / total) ** 0.5
        assert found == pytest.approx(abs(quotient.real + quotient.imag) / length, rel=1e-12)


def test_a_turn_of_the_complex_plane_is_seen_where_the_cosine_is_flat():
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    turned = cmath.exp(0.01j)
    y = torch.tensor([[turned.real, turned.imag]], dtype=torch.float64, requires_grad=True)
    by_angle = torch.autograd.grad(angle_similarity(x, y).sum(), y)[0]
    by_cosine = torch.autograd.grad(F.cosine_similarity(x, y).sum(), y)[0]
    assert by_angle.norm() > 50 * by_cosine.norm()


def test_the_loss_is_the_sum_of_its_parts_by_their_coefficients(rich):
    given = rich(width=6)
    document = given.document[:6]
    expected = (
        0.5 * cosent((given.query * document).sum(1), given.score, scale=20.0)
        + 0.02 * cosent(angle_similarity(given.query, document), given.score, scale=10.0)
        + best_pairs_cost(given, given.query, given.document, given.score >= 1.0, temperature=0.05)
    )
    assert float(AnglE(**SETTINGS)(given)) == pytest.approx(float(expected), rel=1e-12)


def test_an_odd_width_is_refused(rich):
    with pytest.raises(ValueError, match="its width is 5; it must be even"):
        AnglE(**SETTINGS)(rich(width=5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"angle_scale": 0.0}, r"must be positive, got \(20.0, 0.0, 0.05\)"),
        ({"angle": -1.0}, "coefficients must be 0 or more"),
        ({"angle": 0.0, "cosine": 0.0, "in_batch": 0.0}, "one of them more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        AnglE(**SETTINGS | changes)
