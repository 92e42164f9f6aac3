import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from pipeline.protein.architecture.architecture import Side

WIDTH = 8


@pytest.fixture
def side():
    """Makes a `Side`: ``texts`` are token vectors [L, D], ``of`` the rows of each complex; ``pad`` tokens of 99 behind the longest."""

    def made(texts, of, *, pad=0):
        hidden = pad_sequence(texts, batch_first=True, padding_value=99.0)
        hidden = torch.cat([hidden, torch.full((len(texts), pad, hidden.shape[2]), 99.0)], dim=1)
        length = torch.tensor([len(text) for text in texts])
        most = max(map(len, of))
        rows = torch.tensor([[*own, *[-1] * (most - len(own))] for own in of])
        return Side(hidden, (torch.arange(hidden.shape[1]) < length[:, None]).long(), rows)

    return made


@pytest.fixture
def vectors():
    random = torch.Generator().manual_seed(0)
    return lambda *lengths: [torch.randn(length, WIDTH, generator=random) for length in lengths]


@pytest.fixture
def ready():
    """An architecture with weights, in evaluation mode."""

    def made(architecture, head=None):
        torch.manual_seed(1)
        architecture.set_width(WIDTH, head)
        return architecture.eval()

    return made


@pytest.fixture
def pooled():
    """Attention pooling of one text, slowly."""

    def one(pooling, hidden):
        weight = pooling.score.weight[0]
        share = torch.stack([torch.exp(row @ weight) for row in hidden])
        return sum(s * row for s, row in zip(share / share.sum(), hidden, strict=True))

    return one
