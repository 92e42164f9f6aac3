"""A small BERT with random weights and a vocabulary of its own, for tests and for people without any weights.

Source of the architecture: Devlin et al. 2019, arXiv:1810.04805; of the tokenizer: WordPiece as there.
"""

from collections.abc import Iterable

from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast


class ScratchBackbone:
    """Called with the training texts: learns the vocabulary, draws the weights (seed torch first)."""

    def __init__(self, *, vocabulary: int, width: int, layers: int, heads: int, intermediate: int, dropout: float) -> None:
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}; see conf/encoder/scratch.yaml")
        self.vocabulary = vocabulary
        self.width = width
        self.layers = layers
        self.heads = heads
        self.intermediate = intermediate
        self.dropout = dropout

    def __call__(self, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        trainer = BertWordPieceTokenizer(lowercase=True)
        trainer.train_from_iterator(texts, vocab_size=self.vocabulary, min_frequency=2, show_progress=False)
        special = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
        names = {f"{role}_token": token for role, token in special.items()}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, **names)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.intermediate,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            max_position_embeddings=512,
            pad_token_id=trainer.token_to_id(special["pad"]),
        )
        return BertModel(config, add_pooling_layer=True), tokenizer
