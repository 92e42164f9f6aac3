"""Backbones with weights: out of an installed package, a folder, or the Hub."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.checkpoint import sha256 as sha256_of


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
    """A model of the Hub at a pinned revision (40 hex digits), or a folder of the workspace (revision None)."""

    def __init__(self, *, name: str, revision: str | None) -> None:
        if revision is None and not Path(name).is_dir():
            raise ValueError(
                f"encoder.backbone: {name} is no folder here; a model of the Hub needs `revision: <40 hex digits>`"
            )
        if revision is not None and (len(revision) != 40 or set(revision) - set("0123456789abcdef")):
            raise ValueError(f"encoder.backbone.revision must be a commit of 40 hex digits, got {revision!r}: branches move")
        self.name = name
        self.revision = revision

    def __call__(self, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return _load(self.name, self.revision, local=self.revision is None)


def _load(name: str, revision: str | None, *, local: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        backbone = AutoModel.from_pretrained(name, revision=revision, local_files_only=local, use_safetensors=True)
        return backbone, AutoTokenizer.from_pretrained(name, revision=revision, local_files_only=local)
    except OSError as error:
        raise ValueError(f"cannot load backbone {name} (revision {revision}): {error}") from error
