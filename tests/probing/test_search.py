"""The gradient of a search, on a model of two layers in fp64."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.merging.ada_merging import AdaMerging
from pipeline.merging.self_positioning import SelfPositioning


def self_positioning(**settings):
    return SelfPositioning(
        **{"penalty": 0.02, "path": "slerp", "scope": "model", "previous": "mean", "linear_above": 0.9995} | settings
    )


def gradients(module, batch):
    module.zero_grad()
    value = module.training_step(batch, 0)
    value.backward()
    return value.detach(), torch.cat([p.grad.reshape(-1) for p in module.parameters()])


METHODS = {
    "slerp": self_positioning,
    "sum": lambda: self_positioning(previous="sum"),
    "linear": lambda: self_positioning(path="linear"),
    "angles by tensor": lambda: self_positioning(scope="tensor"),
    **{scope: lambda scope=scope: AdaMerging(scope=scope) for scope in ("layer", "tensor", "model")},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_is_that_of_finite_differences(positioning, method):
    module, _, batch = positioning(3, METHODS[method]())
    _, found = gradients(module, batch)
    step, expected = 1e-5, []
    for parameter in module.parameters():
        flat = parameter.data.view(-1)
        for i in range(len(flat)):
            values = []
            for sign in (1, -1):
                flat[i] += sign * step
                values.append(module.training_step(batch, 0).item())
                flat[i] -= sign * step
            expected.append((values[0] - values[1]) / (2 * step))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("num", [1, 2, 4])
def test_the_gradient_is_that_of_a_graph_over_all_weights(positioning, num):
    """Weights made by SLERP of the flattened vectors themselves, used through functional_call."""
    module, trial, batch = positioning(num, self_positioning())
    value, found = gradients(module, batch)
    method, rows, encoder = module.method, trial.rows, trial.judge.encoder
    names = list(rows)
    flat = torch.cat([rows[name] for name in names], dim=1)
    a, norm = method.a, method.norm
    merged = flat[1]
    for k in range(1, num):
        share = a[k] / (a[:k].mean() + a[k])
        angle = torch.acos(F.cosine_similarity(merged, flat[1 + k], dim=0))
        merged = (torch.sin((1 - share) * angle) * merged + torch.sin(share * angle) * flat[1 + k]) / torch.sin(angle)
    pieces = (flat[0] + norm * merged).split([rows[name].shape[1] for name in names])
    shapes = dict(encoder.backbone.named_parameters())
    state = {f"backbone.{name}": piece.view_as(shapes[name]) for name, piece in zip(names, pieces, strict=True)}
    query, document = (torch.func.functional_call(encoder, state, (ids,)) for ids in batch.ids)
    expected = trial.judge.cost(query, document) + method.penalty * norm + 0 * a.sum()
    grads = torch.autograd.grad(expected, list(method.parameters()))
    torch.testing.assert_close(value, expected.detach(), atol=1e-9, rtol=0)
    torch.testing.assert_close(found, torch.cat([g.reshape(-1) for g in grads]), atol=1e-6, rtol=0)


def test_only_the_coefficients_are_parameters_and_the_encoder_holds_the_merge(positioning):
    module, trial, _ = positioning(2, self_positioning())
    assert sorted(name for name, _ in module.named_parameters()) == ["method.raw_a", "method.raw_norm"]
    trial.place({"all": torch.tensor([0.5, -2.0], dtype=torch.float64)})
    for name, value in trial.judge.encoder.backbone.named_parameters():
        rows = trial.rows[name]
        torch.testing.assert_close(value.data.flatten(), rows[0] + 0.5 * rows[1] - 2 * rows[2])


def test_relative_losses_are_shares_of_the_loss_at_the_base_and_so_is_their_gradient(positioning):
    module, trial, batch = positioning(3, self_positioning(penalty=0.0))
    value, found = gradients(module, batch)
    base = trial.losses({"all": torch.zeros(3, dtype=torch.float64)}, half="search")["x"]
    trial.relate()
    assert trial.scale == {"x": base}
    relative, slope = gradients(module, batch)
    torch.testing.assert_close(relative, value / base)
    torch.testing.assert_close(slope, found / base)
    assert trial.losses({"all": torch.zeros(3, dtype=torch.float64)}, half="search")["x"] == pytest.approx(1)
