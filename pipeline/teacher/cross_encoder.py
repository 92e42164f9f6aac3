"""Scores of a cross-encoder, which reads query and document together: a reranker's judgement, learned by a model that reads them apart.

Price: every pair is read anew, once in a training; a batch of B queries with H mined negatives costs B (1 + H) passes of the teacher.

Source: Barkan et al. 2019, arXiv:1908.05161 (DSE), sec. 3: logits as targets, of two classes their difference.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from pipeline.checkpoint import sha256 as hashed
from pipeline.encoder.directory import fetched
from pipeline.manifest import check_code
from pipeline.teacher.teacher import Teacher

PAIRS = 32  # at a time


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
        if (revision is None) == (sha256 is None):
            found = f", {hashed(Path(name))} at present" if revision is None and Path(name).is_dir() else ""
            raise ValueError(
                f"cross-encoder {name} needs its `sha256`{found}, where it is a folder, or a `revision`, where it is of the Hub; give "
                f"one of the two: else no stage would see it change"
            )
        if revision is not None and not re.fullmatch("[0-9a-f]{40}", revision):
            raise ValueError(
                f"cross-encoder {name}: revision must be a commit of 40 hex digits, got {revision!r}: branches move"
            )
        self.name = name
        self.revision = revision
        self.sha256 = sha256
        self.max_length_tokens = max_length_tokens
        self.sigmoid = sigmoid

    def load(self, *, max_length_tokens: int | None, batch_tokens: int) -> None:
        if self.revision is None and not Path(self.name).is_dir():
            raise ValueError(f"cross-encoder {self.name} is no folder here; a model of the Hub needs a `revision`")
        directory = Path(self.name) if self.revision is None else fetched(self.name, self.revision)
        if self.sha256 is not None and (found := hashed(directory)) != self.sha256:
            raise ValueError(f"cross-encoder {self.name} has sha256 {found}, expected {self.sha256}")
        check_code(directory, {})
        try:
            model = CrossEncoder(
                str(directory),
                device="cuda" if torch.cuda.is_available() else "cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
                max_length=self.max_length_tokens,
            )
        except Exception as error:  # tokenizers and safetensors raise their own
            raise ValueError(f"cannot load cross-encoder {self.name}: {str(error).splitlines()[0]}") from error
        if model.num_labels not in (1, 2):
            raise ValueError(
                f"cross-encoder {self.name} gives {model.num_labels} scores for a pair; expected 1, or 2 of which the second is for a match"
            )
        self.model = model.eval()
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
            for pair, score in zip(new, self._scored(new), strict=True):
                self._known[pair] = score
        return torch.tensor([[0.0 if pair is None else self._known[pair] for pair in row] for row in pairs])

    def _scored(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        with torch.no_grad():
            found = self.model.predict(
                list(pairs), batch_size=PAIRS, show_progress_bar=False, activation_fn=nn.Identity(), convert_to_tensor=True
            )
        logits = found.float().reshape(len(pairs), -1).cpu()
        logit = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        return (logit.sigmoid() if self.sigmoid else logit).tolist()
