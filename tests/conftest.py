"""What tests of several folders share."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WORDS = ["the cat sat on a mat", "a dog ran in the park", "rolling window over rows", "sum of all numbers"] * 2


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def stand_in() -> SimpleNamespace:
    """tests/stand_in.py: dvc.yaml as data."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests/stand_in.py")))


@pytest.fixture(scope="session")
def tiny_encoder() -> Callable[..., Any]:
    """Makes a scratch BERT of width 16 with random weights (``seed``) and the words of ``WORDS``, cut at 12 tokens."""
    import torch

    from pipeline.encoder.encoder import Encoder
    from pipeline.encoder.scratch import ScratchBackbone
    from pipeline.pooling.mean import Mean

    torch.set_num_threads(1)  # more threads than this only wait for each other on tensors so small

    def make(pooling: Any = None, *, seed: int = 0, max_length_tokens: int = 12, dropout: float = 0.1) -> Encoder:
        scratch = ScratchBackbone(vocabulary=80, width=16, layers=2, heads=2, intermediate=32, dropout=dropout)
        torch.manual_seed(seed)
        backbone, tokenizer = scratch(WORDS)
        return Encoder(backbone, tokenizer, pooling or Mean(), max_length_tokens=max_length_tokens)

    return make


def _pairs(query, document, positive=None, score=None, *, negative=None, document_text=None, known=(), anchors=None, **further):
    import torch

    from pipeline.tensors import EmbeddedPairs

    size = len(query)
    positive = torch.arange(size) if positive is None else positive
    return EmbeddedPairs(
        query=query,
        document=document,
        positive=positive.reshape(size, -1),
        negative=torch.empty(size, 0, dtype=torch.int64) if negative is None else negative,
        query_text=torch.arange(1000, 1000 + size),
        document_text=torch.arange(len(document)) if document_text is None else document_text,
        known=torch.tensor(sorted({*known, *(pair[::-1] for pair in known)}), dtype=torch.int64).reshape(-1, 2),
        anchors=slice(0, size) if anchors is None else anchors,
        score=score,
        **further,
    )


@pytest.fixture(scope="session")
def pairs():
    """Makes `EmbeddedPairs`: every document another text, query ``i`` answered by row ``i`` unless ``positive`` ([B] or [B, P]) says.

    ``known``: pairs of texts that belong together, query ``i`` being text ``1000 + i`` and document ``n`` text ``n``, one way round."""
    return _pairs
