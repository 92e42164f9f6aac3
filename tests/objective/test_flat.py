"""What an objective keeps for backward grows with the batch, not with its square, when similarities are made a few rows at a time."""

import pytest
import torch

import pipeline.objective.candidates as candidates
from pipeline.objective.infonce import InfoNCE
from pipeline.objective.metrix import Metrix
from pipeline.objective.progressive_gated import ProgressiveGated
from pipeline.objective.queue import Queue
from pipeline.objective.whitened import Whitened

INFONCE = {"temperature": 0.05, "symmetric": False, "same_side": []}
AT_ONCE = 4


def inside():
    return InfoNCE(**INFONCE)


MADE = {
    "infonce": inside,
    "metrix": lambda: Metrix(
        objective=inside(), weight=0.4, alpha=2.0, temperature=0.05, mixes=["positive", "anchor"], random_labels=False
    ),
    "progressive_gated": lambda: ProgressiveGated(
        temperature=0.05, margin=0.0, max_gamma=1.0, start=0.1, end=0.7, epsilon=0.001, max_importance=5.0
    ),
    "queue": lambda: Queue(objective=inside(), size=64, momentum=0.9, side="query"),
    "whitened": lambda: Whitened(objective=inside(), width=4, draws=2, whiten=True),
}


def kept(name, pairs, drawn, size, monkeypatch):
    """``(numbers kept for backward, most rows of similarities at a time)`` of a second batch of ``size`` pairs."""
    query, document = (drawn(size, 8, seed=seed).requires_grad_() for seed in (0, 1))
    batch = pairs(
        query, document, negative=torch.arange(size).roll(1)[:, None], teacher=torch.ones(size, 2), progress=0.5,
        slow=(query.detach(), torch.arange(size) + 9000), rows_at_once=AT_ONCE,
    )  # fmt: skip
    objective = MADE[name]().double()
    objective(batch)
    sizes, rows, cosines = {}, [0], candidates.all_cosines

    def counted(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def seen(anchor, candidate):
        rows.append(len(anchor))
        return cosines(anchor, candidate)

    monkeypatch.setattr(candidates, "all_cosines", seen)
    with torch.autograd.graph.saved_tensors_hooks(counted, lambda tensor: tensor):
        loss = objective(batch)
    loss.backward()
    monkeypatch.setattr(candidates, "all_cosines", cosines)
    return sum(sizes.values()), max(rows)


@pytest.mark.parametrize("name", sorted(MADE))
def test_twice_the_batch_keeps_twice_as_much_and_no_more_rows_are_compared_at_a_time(pairs, drawn, monkeypatch, name):
    (small, few), (large, more) = (kept(name, pairs, drawn, size, monkeypatch) for size in (128, 256))
    assert 0 < few <= AT_ONCE
    assert 0 < more <= AT_ONCE
    assert large < 2.3 * small  # the square would be fourfold
