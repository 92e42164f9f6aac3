"""Scores of a cross-encoder, which reads query and document together: a reranker's judgement, learned by a model that reads them apart.

Price: every pair is read anew, once in a training; a batch of B queries with H mined negatives costs B (1 + H) passes of the teacher.

Source: Barkan et al. 2019, arXiv:1908.05161 (DSE), sec. 3: logits as targets, of two classes their difference.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from pipeline.encoder.cross_encoder import check_named, logits, opened
from pipeline.teacher.teacher import Teacher


class CrossEncoderTeacher(Teacher):
    """``name``: a folder with its ``sha256``, or a model of the Hub at a ``revision``; ``sigmoid``: scores from 0 to 1 in place of logits.
    Pairs are cut at ``max_length_tokens``."""

    def __init__(
        self,
        *,
        name: str,
        revision: str | None,
        sha256: str | None,
        max_length_tokens: Annotated[int, Field(gt=2)],
        sigmoid: bool,
    ) -> None:
        check_named(name, revision, sha256)
        self.named = (name, revision, sha256, max_length_tokens)
        self.sigmoid = sigmoid

    def load(self, *, max_length_tokens: int | None, batch_tokens: int) -> None:
        self.model = opened(*self.named)
        self._known: dict[tuple[str, str], float] = {}

    def scores(
        self,
        task: str,
        queries: Sequence[str],
        documents: Sequence[str],
        positive: Int[Tensor, "B P"],
        negative: Int[Tensor, "B H"],
    ) -> Float[Tensor, "B C"]:
        candidate = torch.cat([positive[:, :1], negative], dim=1).tolist()
        pairs = [
            [(query, documents[int(j)]) if j >= 0 else None for j in row] for query, row in zip(queries, candidate, strict=True)
        ]
        new = [
            pair for pair in dict.fromkeys(one for row in pairs for one in row) if pair is not None and pair not in self._known
        ]
        if new:
            found = logits(self.model, new)
            for pair, score in zip(new, (found.sigmoid() if self.sigmoid else found).tolist(), strict=True):
                self._known[pair] = score
        return torch.tensor([[0.0 if pair is None else self._known[pair] for pair in row] for row in pairs])
