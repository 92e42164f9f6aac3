"""Scores of a larger or better encoder, for objectives that learn from a teacher."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.checkpoint import sha256
from pipeline.encoder.encoder import Encoder

BASE = "checkpoints/base"  # which a stage that trains from it reads anyway


class Teacher:
    """Cosines of an encoder directory. Each text is encoded once in a training, when it is first met."""

    def __init__(self, encoder: Encoder, *, max_length_tokens: int, batch_tokens: int) -> None:
        self.encoder = encoder
        self.limits = {"max_length_tokens": max_length_tokens, "batch_tokens": batch_tokens}
        self._known: dict[tuple[str, str, str], Tensor] = {}

    @classmethod
    def load(cls, settings: Mapping[str, Any], **limits: int) -> "Teacher":
        """ValueError where the directory is not the one that the configuration names by hash."""
        directory, expected = Path(settings["directory"]), settings["sha256"]
        if expected is None and settings["directory"] != BASE:
            raise ValueError(
                f"teacher {directory} needs its `sha256`, {sha256(directory)} at present: else no stage would see it change"
            )
        if expected is not None and (found := sha256(directory)) != expected:
            raise ValueError(f"teacher {directory} has sha256 {found}, expected {expected}")
        return cls(Encoder.load(directory), **limits)

    def __call__(
        self,
        task: str,
        queries: Sequence[str],
        documents: Sequence[str],
        positive: Int[Tensor, "B P"],
        negative: Int[Tensor, "B H"],
    ) -> Float[Tensor, "B C"]:
        """Of each query with its main positive and its mined negatives; 0 where it has fewer."""
        query_BD, document_ND = self._vectors(task, "query", queries), self._vectors(task, "document", documents)
        candidate = torch.cat([positive[:, :1], negative], dim=1)
        score = torch.einsum("bd,bcd->bc", query_BD, document_ND[candidate.clamp(min=0)])
        return score.masked_fill(candidate < 0, 0.0)

    def _vectors(self, task: str, side: str, texts: Sequence[str]) -> Float[Tensor, "N D"]:
        new = [text for text in dict.fromkeys(texts) if (task, side, text) not in self._known]
        if new:
            vectors = torch.from_numpy(
                self.encoder.encode(new, **self.limits, title="teacher", task=task, side=side, unit=True)
            )
            self._known |= {(task, side, text): vector for text, vector in zip(new, vectors, strict=True)}
        return torch.stack([self._known[task, side, text] for text in texts])
