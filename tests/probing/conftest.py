"""A trial on a model of two layers, in fp64."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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


class Judge:
    def __init__(self):
        self.encoder = Toy()

    @staticmethod
    def cost(query, document):
        return F.cross_entropy(query @ document.T / 0.1, torch.arange(len(query)))

    def loss(self, batch):
        return self.cost(self.encoder(batch.ids[0]), self.encoder(batch.ids[1]))


def batch_of(task, random):
    ids = [torch.randint(WORDS, (6, 3), generator=random) for _ in range(2)]
    return SimpleNamespace(ids=ids, parts=[SimpleNamespace(task=task)])


@pytest.fixture
def positioning():
    """``(module, trial, batch)`` of a method on so many experts, its parameters moved away from the start."""

    def made(num, method):
        random = torch.Generator().manual_seed(num)
        judge = Judge()
        parameters = dict(judge.encoder.backbone.named_parameters())
        rows = {
            name: torch.randn(1 + num, value.numel(), generator=random, dtype=torch.float64)
            for name, value in parameters.items()
        }
        grams = {name: part @ part.T for name, part in rows.items()}
        method.double().start(num, list(rows))
        method.double()
        with torch.no_grad():
            for parameter in method.parameters():
                parameter += 0.5 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        batch = batch_of("x", random)
        trial = Trial(judge, parameters, rows, {"search": [batch], "held_out": [batch]}, [["x"]] * num)
        return Positioning(method, trial, grams, optimizer="adam", lr=0.1, relative=False), trial, batch

    return made
