"""Protein language models with weights: ESM2, ProtT5, Ankh, from the Hub or a folder, read one token a residue."""

from collections.abc import Iterable

from sentence_transformers import SentenceTransformer

from pipeline.encoder.pretrained import NamedBackbone
from pipeline.protein.encoder.residues import as_residues


class ProteinBackbone:
    """``name`` and ``revision`` as in `NamedBackbone`."""

    def __init__(self, *, name: str, revision: str | None) -> None:
        self.named = NamedBackbone(name=name, revision=revision, causal=None)

    def __call__(self, texts: Iterable[str]) -> SentenceTransformer:
        model = self.named(texts)
        try:
            model[0].processor = as_residues(model.tokenizer)  # pyright: ignore[reportArgumentType]
        except ValueError as error:
            raise ValueError(f"encoder.backbone {self.named.name}: {error}") from None
        return model
