"""Back: a part of the way from a trained model to the model off the shelf, in the straight line between their weights.

A model that has learned a task has forgotten some of what it knew; on the way back what was forgotten mostly returns sooner than what was
learned goes. What a model has beside the other's weights (a projection) stays as it is. Price: one more model to evaluate for each weight.

Source: Wortsman et al. 2022, arXiv:2109.01903 (WiSE-FT), eq. 1; 0.5 without a search: sec. 3.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.corpus.train_texts import Text
from pipeline.encoder.encoder import Encoder

SHELF, BASE = "checkpoints/backbone", "checkpoints/base"  # which stage `derive` reads anyway


class Back:
    """``weight`` of the trained model and 1 - ``weight`` of the model in ``towards``: the one off the shelf, or the base."""

    needs_texts = False

    def __init__(self, *, weight: float, towards: str) -> None:
        if not 0 < weight < 1:
            raise ValueError(
                f"weight must lie between 0 (the model in `towards` itself) and 1 (the trained model itself), got {weight}; write 0.5 for "
                f"half way back"
            )
        if towards not in (SHELF, BASE):
            raise ValueError(
                f"towards must be {SHELF}, the model off the shelf, or {BASE}, what the experts are trained from; got {towards!r}"
            )
        self.weight = weight
        self.towards = towards

    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        """Weights are mixed in double precision, and rounded once."""
        other = Encoder.load(Path(self.towards)).weights()
        own = encoder.weights()
        for name, weight in other.items():
            if name not in own or own[name].shape != weight.shape:
                found = f"of shape {list(own[name].shape)}" if name in own else "missing"
                raise ValueError(
                    f"{self.towards} has {name} of shape {list(weight.shape)}, which is {found} here; only a model that was trained from "
                    f"it has a way back"
                )
        moved = length = 0.0
        with torch.no_grad():
            for name, weight in other.items():
                mine, theirs = own[name].double(), weight.to(own[name].device).double()
                moved += float(((mine - theirs) ** 2).sum())
                length += float((theirs**2).sum())
                own[name].copy_(torch.lerp(theirs, mine, self.weight))
        return {"weight": self.weight, "distance": (moved / length) ** 0.5, "kept_as_they_are": len(own) - len(other)}
