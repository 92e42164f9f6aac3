"""A small ESM with random weights, for tests and for people without any weights.

Source of the architecture: Lin et al. 2023 (ESM2), doi:10.1126/science.ade2574; rotary positions, so chains of any length are read.
"""

from collections.abc import Iterable

from sentence_transformers import SentenceTransformer
from transformers import EsmConfig, EsmModel

from pipeline.encoder.directory import assembled
from pipeline.protein.encoder.residues import ESM, SPECIAL, esm_tokenizer


class EsmScratchBackbone:
    """Draws the weights (seed torch first). ``dropout`` is that of hidden layers and of attention."""

    def __init__(self, *, width: int, layers: int, heads: int, intermediate: int, dropout: float) -> None:
        if width % heads or (width // heads) % 2:
            raise ValueError(
                f"width must be a multiple of heads, and even for each (rotary positions), got {width} and {heads}; "
                f"see conf/encoder/esm_scratch.yaml"
            )
        self.width = width
        self.layers = layers
        self.heads = heads
        self.intermediate = intermediate
        self.dropout = dropout

    def __call__(self, texts: Iterable[str]) -> SentenceTransformer:
        tokenizer = esm_tokenizer()
        config = EsmConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.intermediate,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            position_embedding_type="rotary",
            emb_layer_norm_before=False,
            token_dropout=True,
            pad_token_id=ESM.index(SPECIAL["pad"]),
            mask_token_id=ESM.index(SPECIAL["mask"]),
        )
        return assembled(EsmModel(config, add_pooling_layer=False), tokenizer)
