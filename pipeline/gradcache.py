"""The vectors of a batch of any size, chunk by chunk, with memory for a few chunks and the gradients of the whole.

Texts are sorted by length and cut into chunks of at most so many tokens, padding counted in, so that short texts do not pay for
long ones. What a chunk's backward pass needs is thrown away and computed again when its turn comes; the last chunks of a process
are kept, as many as there is memory for: autograd takes them first, so they are gone when the first is computed again.

The chunks, and the seeds of the dropout inside them, depend on the batch alone, not on the number of processes or on what is kept:
neither changes a mask, and the gradients differ by rounding only. Each process encodes as many chunks as any other, because under
ZeRO-3 and FSDP every pass through the model is a collective act; who runs out encodes one text once more and multiplies it by 0.

Source: Gao et al. 2021 (GradCache), arXiv:2101.06983; here as activation checkpointing (Chen et al. 2016, arXiv:1604.06174), which
every sharding strategy takes for an ordinary forward and backward pass. Price: about one more forward pass for what is not kept.
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pipeline.distributed import gathered, num_processes, process

Embed: TypeAlias = Callable[[list[int]], Float[Tensor, "n D"]]  # numbers of texts -> their vectors


@dataclass(frozen=True, slots=True)
class Chunks:
    """``texts[c]`` are the numbers of the texts of chunk ``c``; ``tokens[c]`` its size with padding.

    Process ``r`` of ``size`` takes the chunks ``r``, ``r + size``, ``r + 2 size``, ..., so each gets long and short texts.
    """

    texts: list[list[int]]
    tokens: list[int]

    def texts_of(self, rank: int, size: int) -> list[int]:
        """The numbers of the texts that process ``rank`` encodes, in its order."""
        return [text for chunk in self.texts[rank::size] for text in chunk]

    def first_kept(self, size: int, kept_tokens: int) -> int:
        """From which of its chunks on a process keeps memory; the same for all, since computing again is a collective act too."""
        rounds = [max(self.tokens[first : first + size]) for first in range(0, len(self.tokens), size)]
        first = len(rounds)
        while first and rounds[first - 1] <= kept_tokens:
            first -= 1
            kept_tokens -= rounds[first]
        return first


def cut(lengths: Sequence[int], chunk_tokens: int) -> Chunks:
    """Long texts first: what is kept at the end is of short ones, and memory is asked for when there is most of it.

    ValueError where a single text is longer than a chunk.
    """
    if max(lengths) > chunk_tokens:
        raise ValueError(
            f"a text has {max(lengths)} tokens, a chunk {chunk_tokens}; raise chunk_tokens or lower max_length_tokens"
        )
    texts: list[list[int]] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if texts and (len(texts[-1]) + 1) * longest <= chunk_tokens:
            texts[-1].append(i)
        else:
            texts.append([i])
            longest = lengths[i]
    return Chunks(texts, [len(chunk) * lengths[chunk[0]] for chunk in texts])


def embedded(embed: Embed, chunks: Chunks, *, kept_tokens: int, seed: str, return_memory: bool) -> Float[Tensor, "T D"]:
    """The vectors of all texts in their order, on every process, each encoded once, by one of them.

    ``kept_tokens``: of this process, for which memory is kept instead of computing again. ``seed`` names the batch.
    ``return_memory``: what a chunk left goes back to the system before the next, whose tensors would not fit into the holes.
    """
    size, rank = num_processes(), process()
    first_kept = chunks.first_kept(size, kept_tokens)
    vectors: list[Tensor] = []
    for place in range(-(-len(chunks.texts) // size)):
        c = place * size + rank
        idle = c >= len(chunks.texts)
        texts, number = chunks.texts[-1][-1:] if idle else chunks.texts[c], _seed(f"{seed} {c}")
        if place >= first_kept:
            found = _seeded(embed, texts, number, return_memory)
        else:  # seeded inside, so that there is no state to keep
            found: Any = checkpoint(_seeded, embed, texts, number, return_memory, use_reentrant=False, preserve_rng_state=False)
        vectors.append(found[:0] + 0.0 * found.sum() if idle else found)  # no row, but gradients (of 0) for each weight
    counts = [len(chunks.texts_of(r, size)) for r in range(size)]
    every = gathered(torch.cat(vectors), counts)
    order = torch.tensor([text for r in range(size) for text in chunks.texts_of(r, size)])
    return every[torch.argsort(order).to(every.device)]


def _seeded(embed: Embed, texts: list[int], number: int, return_memory: bool) -> Tensor:
    if return_memory:
        _return_memory()
    torch.manual_seed(number)
    return embed(texts)


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")


def _return_memory() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
        if trim is not None:
            trim(0)
