"""A long text in pieces that the model can read, and the mean of their vectors: nothing is cut off, and nothing is trained.

Pieces follow one another; the last reaches back so far that it is full. A text that fits is read as ever. Price: as many passes as pieces,
and what a text says once is a piece's share of its vector.

Source: Zhu et al. 2024, arXiv:2404.12096 (LongEmbed), sec. 4 (parallel context windows).
"""

from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder
from pipeline.form.stored import unit


def windows(number: int, room: int) -> list[tuple[int, int]]:
    """First and behind the last of ``number`` tokens, at most ``room`` in a piece; all pieces of a long text are full."""
    if number <= room:
        return [(0, number)]
    starts = [*range(0, number - room, room), number - room]
    return [(start, start + room) for start in starts]


class ChunkMean:
    """The model as it is; whoever reads long texts cuts them."""

    file = None
    tolerance = None
    about = "long texts in pieces, the mean of the pieces' vectors"
    use = """\
import numpy as np
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{path}")
room = {max_length_tokens} - 2  # without special tokens
spans = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
starts = [*range(0, max(len(spans) - room, 0), room), max(len(spans) - room, 0)]
pieces = [text[spans[i][0] : spans[min(i + room, len(spans)) - 1][1]] for i in starts]
vector = model.encode(pieces, normalize_embeddings=True).mean(0)
vector /= np.linalg.norm(vector)
"""

    def vector_bytes(self, width: int) -> int:
        return 4 * width

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        if not encoder.trunks or not getattr(encoder.tokenizer, "is_fast", False):
            raise ValueError(
                "chunk_mean cuts texts by the places of their tokens, which this model's tokenizer does not tell; leave it out"
            )

        def encode(texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B D"]:
            room = max_length_tokens - len(encoder.token_ids([""], None, task=task, side=side)[0])
            if room < 1:
                raise ValueError(
                    f"{max_length_tokens} tokens are no more than the prompt of {task} has; raise evaluate.max_length_tokens"
                )
            parts = [pieces(encoder, text, room) for text in texts]
            vectors = plain(list(chain.from_iterable(parts)), side, task)
            ends = np.cumsum([0, *map(len, parts)])
            means = [vectors[start:end].mean(0) for start, end in pairwise(ends)]
            return unit(np.stack(means).astype(np.float32))

        return encode


def pieces(encoder: Encoder, text: str, room: int) -> list[str]:
    """The text itself where its tokens have ``room``."""
    spans = encoder.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    if len(spans) <= room:
        return [text]
    return [text[spans[start][0] : spans[end - 1][1]] for start, end in windows(len(spans), room)]
