"""A slow copy of an encoder: at each step it keeps a share of its weights and takes the rest of the encoder's.

It is no part of the module that is trained: no strategy sees it, and it is saved beside the module's weights.
Price: as much memory as the encoder's weights, in each process.

Source: He et al. 2020 (MoCo), arXiv:1911.05722, eq. 2.
"""

import copy
from collections.abc import Mapping

import torch

from pipeline.encoder.encoder import Encoder
from pipeline.objective.objective import Objective


def slow_copy(encoder: Encoder, objectives: Mapping[str, Objective]) -> "SlowEncoder | None":
    """The one that the objectives ask for; None where none does. ValueError where they want different ones."""
    shares = {one.slow_share for one in objectives.values() if one.needs_slow}
    if len(shares) > 1:
        raise ValueError(f"expected one momentum for all tasks of a training, got {sorted(shares)}; give their queues the same")
    return SlowEncoder(encoder, shares.pop()) if shares else None


class SlowEncoder:
    """``share`` is kept at a step. The copy is in evaluation mode and has no gradients."""

    def __init__(self, encoder: Encoder, share: float) -> None:
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.share = share

    @torch.no_grad()
    def follow(self, encoder: Encoder) -> None:
        for own, new in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
            own.lerp_(new.detach().to(own), 1 - self.share)
