"""Static: a table of token vectors squeezed out of a model. A text's vector is the mean of its tokens' rows, and no layer is run.

The row of a token is the mean of the vectors that the model gave it in train texts; a token that occurs in none is read alone, between
the special tokens. What the model has behind its pooling (a projection) is applied to the rows. Prompts are read in the train texts, and
are gone from the table. Price: word order and context are lost; a projection that is not linear is applied to the mean.

Source: Bommasani et al. 2020, ACL 2020.acl-main.431, sec. 3 (aggregated and decontextualised vectors, both with a mean).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from pipeline.corpus.train_texts import Text
from pipeline.derivation.derivation import without_normalize
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.inputs import NO_LIMIT, plain
from pipeline.encoder.modules import after

ROWS = 1024  # of the table that go through what stands behind the pooling at a time


class Static:
    """The table of `token_means` over ``texts`` of the train texts, drawn by ``seed`` (all, where there are fewer), each cut at
    ``max_length_tokens`` (None: where the model cuts it)."""

    needs_texts = True
    needs = ("transformer",)
    leaves = {"transformer": False, "positions": False, "rotary": False, "layers": 0}  # noqa: RUF012  a literal, which `compose` reads

    def __init__(self, *, texts: int, max_length_tokens: int | None, seed: int) -> None:
        if texts < 0:
            raise ValueError(f"texts must be 0 (each token is read alone) or more, got {texts}")
        self.texts = texts
        self.max_length_tokens = max_length_tokens
        self.seed = seed

    @torch.no_grad()
    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        check(encoder)
        encoder.eval()
        distinct = sorted(set(texts))
        drawn = random.Random(self.seed).sample(distinct, min(self.texts, len(distinct)))
        by_side: dict[tuple[str, str], list[str]] = {}
        for one in sorted(drawn):
            by_side.setdefault((one.task, one.side), []).append(one.text)
        ids = [
            row
            for (task, side), group in by_side.items()
            for row in encoder.token_ids(group, self.max_length_tokens, task=task, side=side)
        ]
        sums, counts = token_sums(encoder, ids, batch_tokens)
        seen = int((counts > 0).sum())
        before, behind = frame(encoder)
        unseen = (counts == 0).nonzero()[:, 0].tolist()
        alone, once = token_sums(encoder, [[*before, ~token, *behind] for token in unseen], batch_tokens, marked_alone=True)
        means = (sums + alone) / (counts + once)[:, None]
        become_table(encoder, means)
        return {"texts": len(drawn), "tokens": len(means), "seen": seen, "dims": encoder.width}


def check(encoder: Encoder) -> None:
    """ValueError where the model cannot be squeezed into a table."""
    if not encoder.trunks:
        raise ValueError("the model has no transformer; it is a table already")
    if len(encoder.routes) > 1:
        raise ValueError(
            f"the model has routes ({', '.join(map(str, encoder.routes))}), and a table has one; take one of its models"
        )
    name = type(encoder.backbone).__name__
    if not plain(encoder.trunks[0]) or encoder.pooling is None:
        raise ValueError(f"{name}: expected a transformer that gives token vectors, and a pooling; take another model")
    if not isinstance(encoder.tokenizer, PreTrainedTokenizerFast):
        raise ValueError(
            f"{name}: its tokenizer, {type(encoder.tokenizer).__name__}, is not one of tokenizers, which a table needs"
        )


def frame(encoder: Encoder) -> tuple[list[int], list[int]]:
    """Special tokens before and behind a text."""
    word = "a"
    bare, whole = encoder.plain_ids([word])[0], encoder.tokenizer(word)["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def token_sums(
    encoder: Encoder, ids: Sequence[Sequence[int]], batch_tokens: int, *, marked_alone: bool = False
) -> tuple[Float[Tensor, "V D"], Float[Tensor, " V"]]:
    """Of every token's vectors in rows of ids the sum, in float64, and how many they are; prompts that are not pooled are left out.
    ``marked_alone``: of the tokens written ``~id`` alone."""
    device, number = encoder.table.device, len(encoder.table)
    sums = torch.zeros(number, encoder.trunk_width, dtype=torch.float64, device=device)
    counts = torch.zeros(number, dtype=torch.float64, device=device)
    ordered = sorted((row for row in ids if row), key=len)
    start = 0
    while start < len(ordered):
        end = start + 1
        while end < len(ordered) and len(ordered[end]) * (end + 1 - start) <= batch_tokens:
            end += 1
        given, mask = (one.to(device) for one in encoder.padded(ordered[start:end]))
        hidden, pooled = encoder.tokens(given, mask)
        kept = (given < 0) & mask.bool() if marked_alone else pooled.bool()
        tokens = torch.where(given < 0, ~given, given)[kept]
        sums.index_add_(0, tokens, hidden[kept].double())
        counts.index_add_(0, tokens, torch.ones_like(tokens, dtype=torch.float64))
        start = end
    return sums, counts


def become_table(encoder: Encoder, means: Float[Tensor, "V D"]) -> None:
    """From now on ``encoder`` is a table of ``means``, taken through what stands behind the pooling, at unit length."""
    without_normalize(encoder)
    like = next(encoder.model.parameters())
    parts: list[Tensor] = []
    for rows in means.to(like.dtype).split(ROWS):
        mask = torch.ones(len(rows), 1, dtype=torch.int64, device=rows.device)
        parts.append(
            after(encoder.path(0)[1:], {"token_embeddings": rows[:, None], "attention_mask": mask, "modality": "text"})
        )
    table = StaticEmbedding(encoder.tokenizer, embedding_weights=torch.cat(parts).contiguous())
    table.tokenizer.no_truncation()
    encoder.model = SentenceTransformer(modules=[table, Normalize()], device=str(like.device)).eval()
    encoder.max_length_tokens, encoder.pad_ids = NO_LIMIT, [0]
    encoder.prompts = {"pooled": True, "texts": {}}
