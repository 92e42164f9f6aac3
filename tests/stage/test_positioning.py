"""The search of Self Positioning: its gradient on a model of two layers in fp64, and the whole of it on the tiny workspace."""

import csv
import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.checkpoint import sha256
from pipeline.merging.self_positioning import SelfPositioning
from pipeline.stage.positioning import Positioning
from pipeline.training.data import TextBatch

INPUTS = ("checkpoints/base", "checkpoints/experts", "conf", "data/curated", "data/config.yaml")
WIDTH, WORDS = 4, 12


class Toy(nn.Module):
    """An encoder as far as the search looks at one."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Embedding(WORDS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH)).double()

    def forward(self, ids, mask):
        return F.normalize(self.backbone(ids).mean(1), dim=-1)


def cost(pairs):
    return F.cross_entropy(pairs.query @ pairs.document.T / 0.1, torch.arange(len(pairs.query)))


class Objective(nn.Module):
    def forward(self, pairs):
        return cost(pairs)


def positioning(num, **settings):
    random = torch.Generator().manual_seed(num)
    encoder = Toy()
    rows = {
        name: torch.randn(1 + num, value.numel(), generator=random, dtype=torch.float64)
        for name, value in encoder.backbone.named_parameters()
    }
    gram = sum(part[1:] @ part[1:].T for part in rows.values())
    method = SelfPositioning(**{"penalty": 0.02, "path": "slerp", "previous": "mean", "linear_above": 0.9995} | settings)
    method.start(num)
    with torch.no_grad():
        method.raw_a += torch.randn(num, generator=random, dtype=torch.float64)
        method.raw_norm.fill_(0.3)
    module = Positioning(method, encoder, rows, gram, {"x": Objective()}, [], optimizer="adam", lr=0.1)
    ids = torch.randint(WORDS, (12, 3), generator=random)
    one = torch.ones(6, 3, dtype=torch.long)
    where = torch.arange(6)
    batch = TextBatch("x", ids[:6], one, ids[6:], one, where[:, None], where[:, None], where, where, None)
    return module, encoder, rows, batch


def gradients(module, batch):
    module.zero_grad()
    value = module.training_step(batch, 0)
    value.backward()
    return value.detach(), torch.cat([p.grad.reshape(-1) for p in module.parameters() if p.grad is not None])


@pytest.mark.parametrize("path", ["slerp", "linear"])
def test_the_gradient_is_that_of_finite_differences(path):
    module, _, _, batch = positioning(3, path=path)
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
    module, encoder, rows, batch = positioning(num)
    value, found = gradients(module, batch)
    method = module.method
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
    query, document = (torch.func.functional_call(encoder, state, (ids, None)) for ids in (batch.query_ids, batch.document_ids))
    expected = cost(SimpleNamespace(query=query, document=document)) + method.penalty * norm
    used = [p for p in method.parameters() if num > 1 or p is method.raw_norm]
    grads = torch.autograd.grad(expected, used)
    torch.testing.assert_close(value, expected.detach(), atol=1e-9, rtol=0)
    torch.testing.assert_close(found, torch.cat([g.reshape(-1) for g in grads]), atol=1e-6, rtol=0)


def test_only_the_coefficients_are_parameters_and_the_encoder_holds_the_merge():
    module, encoder, rows, _ = positioning(2)
    assert sorted(name for name, _ in module.named_parameters()) == ["method.raw_a", "method.raw_norm"]
    module.place(torch.tensor([0.5, -2.0], dtype=torch.float64))
    for name, value in encoder.backbone.named_parameters():
        torch.testing.assert_close(value.data.flatten(), rows[name][0] + 0.5 * rows[name][1] - 2 * rows[name][2])


WORDS_OF = (
    "merge",
    "--base",
    "checkpoints/base",
    "--expert",
    "checkpoints/experts/retrieval",
    "--expert",
    "checkpoints/experts/sts",
)
SMALL = (
    "method=self_positioning", "merge.probe.pairs_per_task=10", "merge.probe.batch_size=5", "merge.probe.steps=6",
    "runtime.accelerator=cpu", "runtime.threads=1", "runtime.tracker=disabled",
)  # fmt: skip


def test_the_search_is_recorded_and_repeatable_and_looks_at_no_row_that_is_held_out(copied, run):
    folder = copied(*INPUTS)
    for out, optimizer in (("x", "adam"), ("y", "adam"), ("z", "sgd")):
        assert run(folder, *WORDS_OF, *SMALL, f"merge.probe.optimizer={optimizer}", f"out={out}") == 0
    assert sha256(folder / "x/model.safetensors") == sha256(folder / "y/model.safetensors")
    assert sha256(folder / "x/model.safetensors") != sha256(folder / "z/model.safetensors")
    record = json.loads((folder / "x/merge.json").read_text())
    found = record["search"]
    assert len(found["a"]) == len(record["coefficients"]["all"]) == 2
    assert found["norm"] > 0
    assert found["norm"] != 1
    assert {half: sorted(losses) for half, losses in found["held_out_loss"].items()} == {
        "start": ["retrieval", "sts"],
        "found": ["retrieval", "sts"],
    }
    for task in ("retrieval", "sts"):
        halves = [{tuple(row) for row in found["probe"][half][task]} for half in ("search", "held_out")]
        assert [len(half) for half in halves] == [10, 10]
        assert not halves[0] & halves[1]
    with (folder / "x/trajectory.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    assert [point["step"] for point in points] == [str(step) for step in range(6)]
    assert float(points[0]["norm"]) == pytest.approx(1)
    assert not list((folder / "data").glob("runs/*"))
    assert json.loads((folder / "x/provenance.json").read_text())["inputs"]["data/curated"] == sha256(folder / "data/curated")


def test_a_probe_that_the_rows_cannot_fill_is_told_and_nothing_is_written(copied, run, capsys):
    folder = copied(*INPUTS)
    assert run(folder, *WORDS_OF, *SMALL, "merge.probe.batch_size=500", "out=x") == 1
    assert "needs twice 500 training rows that share no text" in capsys.readouterr().err
    assert not (folder / "x").exists()
