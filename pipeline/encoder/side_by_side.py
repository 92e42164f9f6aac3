"""Several whole models as one: their vectors side by side, each at unit length over the root of their number, so that a cosine is the mean
of the models' cosines.

It is a module of this package: those of sentence-transformers put vectors one after another only out of the tokens of one transformer,
where the length of a mean is not known. Loading such a directory elsewhere needs this package. Price: each model is run, and a vector is
as many times as wide.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn

from pipeline.encoder.directory import open_model, save_model
from pipeline.encoder.inputs import NO_LIMIT, tokenized
from pipeline.encoder.modules import after
from pipeline.manifest import modules


class SideBySide(InputModule):
    """``members`` read the same ids: those of the first one's tokenizer. A pooling follows, for which the text is one token."""

    save_in_root = False

    def __init__(self, members: Sequence[SentenceTransformer]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def tokenizer(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        first: Any = self.members[0]
        return first.tokenizer

    @property
    def max_seq_length(self) -> int | None:
        """The shortest limit of any."""
        limits = [member.max_seq_length for member in self.members if member.max_seq_length is not None]  # pyright: ignore[reportOperatorIssue]
        return min(limits, default=None)  # pyright: ignore[reportArgumentType]

    def get_embedding_dimension(self) -> int:
        return sum(int(member.get_embedding_dimension()) for member in self.members)  # pyright: ignore[reportCallIssue,reportArgumentType]

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """``input_ids`` and ``attention_mask``, padded at the right."""
        limit = min(int(kwargs.get("max_length") or NO_LIMIT), self.max_seq_length or NO_LIMIT)
        first: Any = self.members[0]
        rows, _ = tokenized(first[0], list(inputs), limit, prompt or "", None)
        width = max(map(len, rows), default=0)
        pad = int(getattr(self.tokenizer, "pad_token_id", None) or 0)
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], dtype=torch.int64).reshape(len(rows), width)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=torch.int64).reshape(
            len(rows), width
        )
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        found: list[Tensor] = []
        for member in self.members:
            given = {"input_ids": features["input_ids"], "attention_mask": features["attention_mask"], "modality": "text"}
            found.append(F.normalize(after(list(member.children()), given), dim=-1))
        whole = torch.cat(found, dim=-1) / len(found) ** 0.5
        return {**features, "token_embeddings": whole[:, None]}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """A directory for each member, and what kinds of modules these hold, as a router says it."""
        types: dict[str, str] = {}
        for number, member in enumerate(self.members):
            place = Path(output_path) / str(number)
            save_model(member, place)  # pyright: ignore[reportArgumentType]
            types |= {f"{number}/{folder}".rstrip("/"): kind for folder, kind in modules(place).items()}
        Path(output_path, "config.json").write_text(json.dumps({"types": types}, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        place = Path(model_name_or_path) / subfolder
        return cls(
            [open_model(folder) for folder in sorted(place.iterdir(), key=lambda one: one.name.zfill(4)) if folder.is_dir()]
        )
