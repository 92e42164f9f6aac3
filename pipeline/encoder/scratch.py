"""A small BERT with random weights and a vocabulary of its own, for tests and for people without any weights.

Source of the architecture: Devlin et al. 2019, arXiv:1810.04805; of the tokenizer: WordPiece as there.
"""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from sentence_transformers import SentenceTransformer
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from pipeline.encoder.directory import assembled

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


class ScratchBackbone:
    """Called with the training texts: learns the vocabulary, draws the weights (seed torch first). ValueError where there are none."""

    def __init__(
        self,
        *,
        vocabulary: Annotated[int, Field(gt=0, le=2**24)],
        width: Annotated[int, Field(gt=0, le=2**16)],
        layers: Annotated[int, Field(gt=0, le=1000)],
        heads: Annotated[int, Field(gt=0)],
        intermediate: Annotated[int, Field(gt=0, le=2**18)],
        dropout: Annotated[float, Field(ge=0, lt=1)],
    ) -> None:
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}; see conf/encoder/scratch.yaml")
        self.vocabulary = vocabulary
        self.width = width
        self.layers = layers
        self.heads = heads
        self.intermediate = intermediate
        self.dropout = dropout

    def __call__(self, texts: Iterable[str]) -> SentenceTransformer:
        known = list(texts)
        if not known:
            raise ValueError(
                "encoder scratch learns its words from train texts, and there are none; take another encoder (choose.encoder: minilm)"
            )
        vocabulary = _vocabulary(known, self.vocabulary)
        names = {f"{role}_token": token for role, token in SPECIAL.items()}
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=BertWordPieceTokenizer(vocabulary, lowercase=True)._tokenizer, **names
        )
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.intermediate,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            max_position_embeddings=512,
            pad_token_id=vocabulary[SPECIAL["pad"]],
        )
        return assembled(BertModel(config, add_pooling_layer=True), tokenizer)


def _vocabulary(texts: list[str], size: int) -> dict[str, int]:
    """Word pieces and their numbers, the same in every process.

    Left alone, the trainer numbers the letters inside words in the order of a hash map, and by these numbers it settles ties.
    """
    trainer = BertWordPieceTokenizer(lowercase=True)
    words = (
        word
        for text in texts
        for word, _ in trainer.pre_tokenizer.pre_tokenize_str(trainer.normalizer.normalize_str(text))  # pyright: ignore[reportOptionalMemberAccess]
    )
    inside = sorted({letter for word in words for letter in word[1:]})
    trainer.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=2**31,
        show_progress=False,
        special_tokens=[*SPECIAL.values(), *(f"##{letter}" for letter in inside)],
    )
    return trainer.get_vocab()
