"""Vectors of many texts: batches of like length, shared among the copies of an encoder on several devices."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

if TYPE_CHECKING:
    from pipeline.encoder.encoder import Encoder

CPU_TOKENS = 1024  # of a batch on a CPU: activations stay in its caches; 8,192 took twice as long (benchmarks/evaluation.py)
ITEMS = 16  # of a batch of images, whose size in tokens nothing says beforehand


@torch.inference_mode()
def encoded(
    encoder: Encoder,
    texts: Sequence[Any],
    *,
    max_length_tokens: int | None,
    batch_tokens: int,
    title: str,
    task: str | None,
    side: str | None,
    unit: bool,
) -> Float[np.ndarray, "B D"]:
    """As `Encoder.encode` says."""
    training, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    batch_tokens = min(batch_tokens, CPU_TOKENS) if device.type == "cpu" else batch_tokens
    out = np.empty((len(texts), encoder.width), dtype=np.float32)
    written = all(isinstance(text, str) for text in texts)
    ids = encoder.token_ids(texts, max_length_tokens, task=task, side=side) if written and len(texts) else []
    free: SimpleQueue[Encoder] = SimpleQueue()
    for one in encoder.copies or [encoder]:
        free.put(one)

    def fill(batch: list[int]) -> int:
        one = free.get()
        try:
            with torch.inference_mode():  # each thread has its own
                found = of_ids(one, [ids[i] for i in batch]) if written else of_items(one, [texts[i] for i in batch], side)
                out[batch] = (encoder.unit(found) if unit else found).cpu().numpy()
        finally:  # after an error too, or the threads that wait for a copy would never end
            free.put(one)
        return len(batch)

    batches = by_length(ids, batch_tokens) if written else in_turn(len(texts), ITEMS)
    with (
        tqdm(total=len(texts), desc=title, unit="text", leave=False, disable=None) as bar,
        ThreadPoolExecutor(max(1, len(encoder.copies))) as pool,
    ):
        for num in pool.map(fill, batches) if len(encoder.copies) > 1 else map(fill, batches):
            bar.update(num)
    encoder.train(training)
    return out


def of_ids(encoder: Encoder, ids: Sequence[Sequence[int]]) -> Float[Tensor, "B D"]:
    """Vectors of texts as `Encoder.token_ids` gives them."""
    place = next(encoder.parameters()).device
    input_ids, mask = encoder.padded(ids)
    return encoder(input_ids.to(place), mask.to(place))


def of_items(encoder: Encoder, items: Sequence[Any], side: str | None) -> Float[Tensor, "B D"]:
    """Vectors of what is no text, by the model's own processor. ValueError where it has none for them."""
    named = {"task": side} if len(encoder.routes) > 1 and side else {}
    place = next(encoder.parameters()).device
    features = encoder.model.preprocess(list(items), **named)
    features = {name: value.to(place) if isinstance(value, Tensor) else value for name, value in features.items()}
    return encoder.model(features, **named)["sentence_embedding"].float()


def by_length(ids: Sequence[Sequence[int]], batch_tokens: int) -> list[list[int]]:
    """Places of texts, short to long, in batches of at most ``batch_tokens`` with padding."""
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
    return by_tokens(order, [len(row) for row in ids], batch_tokens)


def in_turn(num: int, size: int) -> list[list[int]]:
    return [list(range(first, min(first + size, num))) for first in range(0, num, size)]


def by_tokens(order: list[int], lengths: list[int], batch_tokens: int) -> list[list[int]]:
    """Cut ``order`` (short to long) into batches whose count times longest length stays within ``batch_tokens``."""
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * lengths[i] <= batch_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
