"""The gradient of a search, on a model of two layers in fp64."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.merging.ada_merging import AdaMerging
from pipeline.merging.self_positioning import SelfPositioning
from pipeline.probing.search import Positioning
from pipeline.probing.trial import Trial

WIDTH, WORDS = 4, 12


class Toy(nn.Module):
    """An encoder as far as a search looks at one."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Embedding(WORDS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH)).double()

    def forward(self, ids):
        return F.normalize(self.backbone(ids).mean(1), dim=-1)


def cost(query, document):
    return F.cross_entropy(query @ document.T / 0.1, torch.arange(len(query)))


class Judge:
    def __init__(self):
        self.encoder = Toy()

    def loss(self, batch):
        return cost(self.encoder(batch.ids[0]), self.encoder(batch.ids[1]))


def batch_of(task, random):
    ids = [torch.randint(WORDS, (6, 3), generator=random) for _ in range(2)]
    return SimpleNamespace(ids=ids, parts=[SimpleNamespace(task=task)])


def positioning(num, method):
    random = torch.Generator().manual_seed(num)
    judge = Judge()
    parameters = dict(judge.encoder.backbone.named_parameters())
    rows = {
        name: torch.randn(1 + num, value.numel(), generator=random, dtype=torch.float64) for name, value in parameters.items()
    }
    grams = {name: part @ part.T for name, part in rows.items()}
    method.double().start(num, list(rows))
    method.double()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    batch = batch_of("x", random)
    trial = Trial(judge, parameters, rows, {"search": [batch], "held_out": [batch]}, [["x"]] * num)
    return Positioning(method, trial, grams, optimizer="adam", lr=0.1), trial, batch


def self_positioning(**settings):
    return SelfPositioning(**{"penalty": 0.02, "path": "slerp", "previous": "mean", "linear_above": 0.9995} | settings)


def gradients(module, batch):
    module.zero_grad()
    value = module.training_step(batch, 0)
    value.backward()
    return value.detach(), torch.cat([p.grad.reshape(-1) for p in module.parameters()])


METHODS = {
    "slerp": self_positioning,
    "sum": lambda: self_positioning(previous="sum"),
    "linear": lambda: self_positioning(path="linear"),
    **{scope: lambda scope=scope: AdaMerging(scope=scope) for scope in ("layer", "tensor", "model")},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_is_that_of_finite_differences(method):
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
def test_the_gradient_is_that_of_a_graph_over_all_weights(num):
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
    expected = cost(query, document) + method.penalty * norm + 0 * a.sum()
    grads = torch.autograd.grad(expected, list(method.parameters()))
    torch.testing.assert_close(value, expected.detach(), atol=1e-9, rtol=0)
    torch.testing.assert_close(found, torch.cat([g.reshape(-1) for g in grads]), atol=1e-6, rtol=0)


def test_only_the_coefficients_are_parameters_and_the_encoder_holds_the_merge():
    module, trial, _ = positioning(2, self_positioning())
    assert sorted(name for name, _ in module.named_parameters()) == ["method.raw_a", "method.raw_norm"]
    trial.place({"all": torch.tensor([0.5, -2.0], dtype=torch.float64)})
    for name, value in trial.judge.encoder.backbone.named_parameters():
        rows = trial.rows[name]
        torch.testing.assert_close(value.data.flatten(), rows[0] + 0.5 * rows[1] - 2 * rows[2])
