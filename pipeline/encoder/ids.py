"""Texts as token ids: prompts, cuts, routes, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.encoder.inputs import NO_LIMIT, tokenized
from pipeline.encoder.prompts import around, marked, surrounded

if TYPE_CHECKING:
    from pipeline.encoder.encoder import Encoder

ROUTE = 1 << 24  # a token that route r of a router reads is written as its id + r * ROUTE


def token_ids(
    encoder: Encoder, texts: Sequence[str], max_length_tokens: int | None, *, task: str | None, side: str | None
) -> list[list[int]]:
    """As `Encoder.token_ids` says."""
    prompt, route = encoder.prompt(task, side), encoder.route(side)
    before, after = around(prompt) if encoder.prompts["texts"] else (prompt, "")
    first, *rest = encoder.path(route)
    limit = min(max_length_tokens or NO_LIMIT, getattr(first, "max_seq_length", None) or NO_LIMIT)
    pooled = all(getattr(module, "include_prompt", True) for module in rest)
    if after:
        ids = surrounded(first, texts, limit, before, after, side, pooled=pooled)
        return [[i + (route if i >= 0 else -route) * ROUTE for i in row] for row in ids]
    ids, length = tokenized(first, texts, limit, before, side)
    if route:
        ids = [[i + route * ROUTE for i in row] for row in ids]
    if length is None:  # no prompt, or one that cannot be told from the text
        return ids
    if length + 1 >= limit:
        raise ValueError(
            f"the prompt {prompt!r} takes {length} of {limit} tokens and leaves none for the text; "
            f"raise max_length_tokens or shorten it"
        )
    return ids if pooled else [marked(row, before=length, behind=0, special=set()) for row in ids]


def padded(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[Int[Tensor, "B L"], Int[Tensor, "B L"]]:
    """As `Encoder.padded` says."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.full(mask.shape, pad_id)
    input_ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in ids])
    return torch.from_numpy(input_ids), torch.from_numpy(mask.astype(np.int64))
