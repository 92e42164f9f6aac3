"""Tiny random models for derivations, and texts."""

from pathlib import Path

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pipeline.corpus.train_texts import Text

LINE = "the cat sat on a mat dog ran in park rolling window over rows sum of all numbers"
WORDS = LINE.split()
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
SIZES = {
    "vocab_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 64,
}  # fmt: skip
FURTHER = {
    "Qwen3": {"num_key_value_heads": 1, "head_dim": 8},
    "ModernBert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2},
    "Albert": {"embedding_size": 8},
}


def tokenizer():
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>"
    )


@pytest.fixture(scope="session")
def model_of(tmp_path_factory):
    """Makes the directory of a random model of transformers' family ``kind``, with mean pooling and what stands ``behind`` it."""

    def made(kind: str, *behind: torch.nn.Module, **settings) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(0)
        backbone = getattr(transformers, f"{kind}Model")(
            getattr(transformers, f"{kind}Config")(**SIZES | FURTHER.get(kind, {}))
        )
        for weight in backbone.parameters():  # wide enough for texts to differ
            torch.nn.init.normal_(weight, std=0.3) if weight.ndim > 1 else None
        backbone.save_pretrained(folder / "backbone")
        tokenizer().save_pretrained(folder / "backbone")
        parts = [Transformer(str(folder / "backbone")), Pooling(16, "mean"), *(behind or [Normalize()])]
        SentenceTransformer(modules=parts, device="cpu", **settings).save(str(folder / "model"), create_model_card=False)
        return folder / "model"

    return made


@pytest.fixture(scope="session")
def texts():
    """120 queries and documents of three to eight words, some of them twice."""
    draw = torch.Generator().manual_seed(3)

    def words():
        length = int(torch.randint(3, 9, (1,), generator=draw))
        return " ".join(WORDS[i] for i in torch.randint(len(WORDS), (length,), generator=draw).tolist())

    return [Text("retrieval", side, words()) for side in ("query", "document") for _ in range(60)] * 2
