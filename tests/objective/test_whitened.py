"""Whitening against loops over groups, its gradient, and the mean over draws."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from pipeline.objective.infonce import InfoNCE
from pipeline.objective.matryoshka_2d import Matryoshka2D
from pipeline.objective.queue import Queue
from pipeline.objective.whitened import EPSILON, InverseRoot, Whitened, whitened

INFONCE = {"temperature": 0.05, "symmetric": False, "same_side": []}
ORDER = [3, 0, 7, 5, 1, 6, 2, 4]


def objective(**changes):
    return Whitened(objective=InfoNCE(**INFONCE), **({"width": 2, "draws": 2, "whiten": True} | changes))


def by_hand(vectors, order, width):
    """One group after the other, by SciPy's root of a matrix."""
    num, dims = vectors.shape
    found = np.zeros((num, dims))
    for first in range(0, dims, width):
        own = order[first : first + width]
        x = vectors[:, own] * math.sqrt(dims)
        x = x - x.mean(0)
        covariance = sum(np.outer(row, row) for row in x) / num + EPSILON * np.eye(width)
        found[:, own] = x @ np.linalg.inv(scipy.linalg.sqrtm(covariance).real)
    return found


@pytest.mark.parametrize("width", [1, 2, 4])
def test_each_group_is_whitened_by_the_inverse_root_of_its_covariance(drawn, width):
    vectors = drawn(20, 8, seed=0)
    found = whitened(vectors, ORDER, width)
    np.testing.assert_allclose(found, by_hand(vectors.numpy(), ORDER, width), atol=1e-9)
    for first in range(0, 8, width):
        own = found[:, ORDER[first : first + width]]
        covariance = own.T @ own / 20
        assert (covariance - torch.eye(width)).abs().max() < 1e-3
        assert own.mean(0).abs().max() < 1e-9


def test_its_gradient_is_that_of_finite_differences_also_at_equal_eigenvalues(drawn):
    vectors = drawn(9, 4, seed=0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: whitened(x, [2, 0, 3, 1], 2), (vectors,))
    same = (2.0 * torch.eye(3).double().expand(2, 3, 3)).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: InverseRoot.apply((x + x.mT) / 2), (same,))


def test_the_loss_is_the_mean_over_draws_of_the_objective_on_whitened_vectors(pairs, drawn):
    batch = pairs(drawn(9, 8, seed=0), drawn(9, 8, seed=1), progress=0.25)
    import random

    orders = [random.Random(f"whitened {draw} 0.25").sample(range(8), 8) for draw in range(3)]

    def unit(vectors, order):
        found = by_hand(vectors.numpy(), order, 2)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    query, costs = unit(batch.query, orders[0]), []
    for order in orders[1:]:
        scores = query @ unit(batch.document, order).T / 0.05
        costs += [math.log(sum(math.exp(s) for s in scores[i])) - scores[i, i] for i in range(9)]
    assert objective()(batch).item() == pytest.approx(sum(costs) / 18, rel=1e-9)
    assert objective()(replace(batch, progress=0.5)).item() != objective()(batch).item()


def test_without_whitening_it_is_the_objective_to_the_bit(pairs, drawn):
    batch = pairs(drawn(9, 8, seed=0), drawn(9, 8, seed=1))
    assert torch.equal(objective(whiten=False, draws=3)(batch), InfoNCE(**INFONCE)(batch))


def test_dimensions_that_vary_unlike_and_together_are_used_evenly(pairs, drawn):
    """One dimension has nearly all of the variance: whitening leaves no eigenvalue above the others."""
    vectors = torch.nn.functional.normalize(drawn(64, 8, seed=0) * torch.tensor([9.0, *[0.5] * 7]), dim=1)

    def spread(x):
        value = torch.linalg.eigvalsh(torch.cov(x.T))
        return float(value.max() / value.min())

    assert spread(vectors) > 10
    assert spread(whitened(vectors, ORDER, 8)) < 1.01


def test_a_group_as_wide_as_the_batch_is_told_and_no_nan(pairs, drawn):
    with pytest.raises(ValueError, match="a group of 8 dimensions is whitened over more vectors than that, got 8"):
        objective(width=8)(pairs(drawn(8, 8, seed=0), drawn(8, 8, seed=1)))
    same = pairs(drawn(1, 8, seed=0).expand(9, 8), drawn(9, 8, seed=1))
    assert torch.isfinite(objective()(same))  # equal texts have no variance


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="groups of 2 dimensions do not fill 9"):
        objective().check_encoder(width=9, blocks=2)
    with pytest.raises(ValueError, match="width and draws must be 1 or more"):
        objective(draws=0)
    inside = InfoNCE(**INFONCE)
    cuts = {"dims": [1.0], "coefficients": None, "dims_at_once": None, "layers_at_once": 1, "kl_temperature": 0.3}
    for one in (
        Queue(objective=inside, size=3, momentum=0.9, side="query"),
        Matryoshka2D(objective=inside, **cuts, move_last=False),
    ):
        with pytest.raises(ValueError, match="looks at vectors that are not whitened"):
            Whitened(objective=one, width=2, draws=1, whiten=True)
