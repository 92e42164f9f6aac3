"""Protein language models with weights: ESM2, ProtT5, Ankh, from the Hub or a folder, read one token a residue."""

from collections.abc import Iterable

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.encoder.pretrained import NamedBackbone
from pipeline.encoder.residues import as_residues


class ProteinBackbone:
    """``name`` and ``revision`` as in `NamedBackbone`."""

    def __init__(self, *, name: str, revision: str | None) -> None:
        self.named = NamedBackbone(name=name, revision=revision, causal=None)

    def __call__(self, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        backbone, tokenizer = self.named(texts)
        try:
            return backbone, as_residues(tokenizer)
        except ValueError as error:
            raise ValueError(f"encoder.backbone {self.named.name}: {error}") from None
