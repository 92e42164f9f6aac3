"""Backbones with weights: out of an installed package, a folder, or the Hub."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.checkpoint import sha256 as sha256_of
from pipeline.encoder.backbone import load_backbone


class InstalledBackbone:
    """The model folder inside an installed Python package; the package is found, not imported.

    ``sha256``: of its model.safetensors, so that a changed package cannot change results unnoticed.
    """

    def __init__(self, *, package: str, sha256: str) -> None:
        self.package = package
        self.sha256 = sha256

    def __call__(self, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
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
        return _load(str(folder), None, local=True)


class NamedBackbone:
    """A model of the Hub at a pinned revision (40 hex digits), or a folder of the workspace (revision None).

    ``causal``: False takes the causal mask off a decoder, so that every token reads the whole text; None leaves it as it came.
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

    def __call__(self, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        backbone, tokenizer = _load(self.name, self.revision, local=self.revision is None)
        if self.causal is not None:
            backbone.config.is_causal = self.causal  # what makes the masks asks for it, and it is saved with the model
            if reads_ahead(backbone) is self.causal:
                raise ValueError(
                    f"encoder.backbone.causal is {self.causal}, but {type(backbone).__name__} attends as before; "
                    f"take another backbone, or set it to null"
                )
        return backbone, tokenizer


@torch.no_grad()
def reads_ahead(backbone: PreTrainedModel) -> bool:
    """Whether the first token's vector depends on the last token."""
    training = backbone.training
    backbone.eval()
    ids = torch.tensor([[0, 1, 2], [0, 1, 3]])
    first, other = backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    backbone.train(training)
    return not torch.equal(first, other)


def _load(name: str, revision: str | None, *, local: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        backbone = load_backbone(name, revision=revision, local_files_only=local, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, local_files_only=local)
    except OSError as error:
        raise ValueError(f"cannot load backbone {name} (revision {revision}): {error}") from error
    if tokenizer.pad_token is None:  # decoders come without one; the mask hides whatever stands there
        tokenizer.pad_token = tokenizer.eos_token
    return backbone, tokenizer
