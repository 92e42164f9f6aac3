"""Models with weights: out of an installed package, a folder, or the Hub, with the modules they came with."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer

from pipeline.checkpoint import sha256 as sha256_of
from pipeline.encoder.directory import fetched, inputs, open_model
from pipeline.encoder.fitting import check_vectors, pad, tell_tokenizer
from pipeline.manifest import MODULES


class InstalledBackbone:
    """The model folder inside an installed Python package; the package is found, not imported.

    ``sha256``: of its model.safetensors, so that a changed package cannot change results unnoticed.
    """

    def __init__(self, *, package: str, sha256: str) -> None:
        self.package = package
        self.sha256 = sha256

    def __call__(self, texts: Iterable[str]) -> SentenceTransformer:
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ValueError(
                f"package {self.package} is not installed; run `make repro`, or choose another encoder in params.yaml"
            )
        folder = Path(spec.origin).parent / "model"
        found = sha256_of(folder / "model.safetensors")
        if found != self.sha256:
            raise ValueError(
                f"{self.package}: model.safetensors has sha256 {found}, expected {self.sha256}; reinstall the package"
            )
        return open_model(folder)


class NamedBackbone:
    """A model of the Hub at a pinned revision (40 hex digits), or a folder of the workspace (revision None).

    ``causal``: False takes the causal mask off a decoder, so that every token reads the whole text; None leaves it as it came.
    Weights in half precision are made single, since the steps of a training are smaller than the distance of two halves.
    """

    def __init__(self, *, name: str, revision: str | None, causal: bool | None) -> None:
        if revision is None and not Path(name).is_dir():
            raise ValueError(
                f"encoder.backbone: {name} is no folder here; a model of the Hub needs `revision: <40 hex digits>`"
            )
        if revision is not None and (len(revision) != 40 or set(revision) - set("0123456789abcdef")):
            raise ValueError(f"encoder.backbone.revision must be a commit of 40 hex digits, got {revision!r}: branches move")
        self.name = name
        self.revision = revision
        self.causal = causal

    def __call__(self, texts: Iterable[str]) -> SentenceTransformer:
        directory = Path(self.name) if self.revision is None else fetched(self.name, self.revision)
        model = open_model(directory).float()
        for transformer in (module for module in model.modules() if isinstance(module, Transformer)):
            backbone, tokenizer = transformer.model, transformer.tokenizer
            backbone.config.dtype = torch.float32
            pad(directory, tokenizer)  # decoders come without one
            if self.causal is not None:
                backbone.config.is_causal = self.causal  # what makes the masks asks for it, and it is saved with the model
                if reads_ahead(backbone) is self.causal:
                    raise ValueError(
                        f"encoder.backbone.causal is {self.causal}, but {type(backbone).__name__} attends as before; "
                        f"take another backbone, or set it to null"
                    )
        for first in inputs(model):
            tell_tokenizer(directory, first)
        check_vectors(directory, model)
        if not (directory / MODULES).is_file():
            named = ", ".join(str(getattr(module, "pooling_mode", "no pooling")) for module in list(model)[1:])
            print(f"{self.name} says nothing of a pooling ({MODULES} is missing): {named}, as sentence-transformers takes it")
        return model


@torch.no_grad()
def reads_ahead(backbone: Any) -> bool:
    """Whether the first token's vector depends on the last token."""
    training = backbone.training
    backbone.eval()
    ids = torch.tensor([[0, 1, 2], [0, 1, 3]])
    first, other = backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    backbone.train(training)
    return not torch.equal(first, other)
