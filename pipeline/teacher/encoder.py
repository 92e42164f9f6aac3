"""Cosines of a larger or better encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.checkpoint import sha256 as hashed
from pipeline.encoder.encoder import Encoder
from pipeline.teacher.teacher import Teacher

KNOWN = ("checkpoints/base", "checkpoints/backbone")  # which a training from the base lists among what it reads


class EncoderTeacher(Teacher):
    """Each text is encoded once in a training, when it is first met. ``sha256`` is that of the directory; null for the base and the model
    off the shelf alone."""

    def __init__(self, *, directory: str, sha256: str | None) -> None:
        if sha256 is None and directory not in KNOWN:
            found = hashed(Path(directory)) if Path(directory).is_dir() else "unknown, as there is no such directory"
            raise ValueError(f"teacher {directory} needs its `sha256`, {found} at present: else no stage would see it change")
        self.directory = directory
        self.sha256 = sha256

    def load(self, *, max_length_tokens: int | None, batch_tokens: int) -> None:
        if self.sha256 is not None and (found := hashed(Path(self.directory))) != self.sha256:
            raise ValueError(f"teacher {self.directory} has sha256 {found}, expected {self.sha256}")
        self.take(Encoder.load(Path(self.directory)), max_length_tokens=max_length_tokens, batch_tokens=batch_tokens)

    def take(self, encoder: Encoder, **limits: Any) -> None:
        self.encoder = encoder
        self.limits = limits
        self._known: dict[tuple[str, str, str], Tensor] = {}

    def scores(
        self,
        task: str,
        queries: Sequence[str],
        documents: Sequence[str],
        positive: Int[Tensor, "B P"],
        negative: Int[Tensor, "B H"],
    ) -> Float[Tensor, "B C"]:
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
