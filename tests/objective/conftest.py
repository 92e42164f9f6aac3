"""Batches for tests of objectives, in float64 so that a double loop can be met to the last digits."""

import pytest
import torch
import torch.nn.functional as F


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


@pytest.fixture(scope="session")
def drawn():
    """Unit vectors of a shape, by seed."""
    return unit


@pytest.fixture(scope="session")
def rich(pairs):
    """Six queries with up to three positives and two hard negatives each, and texts that stand at several places.

    Documents 0-5 are first positives, 6-11 second (of queries 0-3 only), 12-13 third (of 0, 1), 14-21 hard negatives. Known beside
    these: document 1 answers query 4, 14 answers 1, 5 answers 3; documents 2 and 5 belong together, and so do queries 0 and 5.
    """

    def make(*, width=5, seed=0, **changes):
        positive = torch.full((6, 3), -1)
        positive[:, 0] = torch.arange(6)
        positive[:4, 1] = torch.arange(6, 10)
        positive[:2, 2] = torch.tensor([12, 13])
        negative = torch.tensor([[14, 15], [16, -1], [17, 18], [-1, -1], [19, 20], [21, 14]])
        text = torch.arange(22)
        text[3] = text[0]  # queries 0 and 3 have the same answer
        text[17] = text[8]  # mined for query 2, but a copy of its second answer
        text[20] = text[13]  # a copy of a third answer
        known = [(1004, 1), (1001, 14), (1003, 5), (2, 5), (1000, 1005)]
        given = {
            "negative": negative,
            "document_text": text,
            "known": known,
            "score": torch.tensor([1.0, 0.0, 0.5, 1.0, 0.25, 0.5]),
        }
        return pairs(unit(6, width, seed=seed), unit(22, width, seed=seed + 1), positive, **given | changes)

    return make
