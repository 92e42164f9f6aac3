"""Where an encoder that reads more than the data need is to cut texts: said by the data, and told."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.inputs import NO_LIMIT

STEP = 64  # tokens: a cut is a multiple of it
AT_MOST = 20_000  # texts of a task and side that are measured, evenly spread


class Cut(NamedTuple):
    """``tokens``: where texts are cut. ``longer``: the share of ``texts`` that fill or exceed it."""

    tokens: int
    longer: float
    texts: int

    @property
    def told(self) -> str:
        if self.tokens >= NO_LIMIT:
            return f"texts of any length are read whole; {self.texts} train texts"
        if not self.texts:
            return f"texts are cut at {self.tokens} tokens"
        return f"texts are cut at {self.tokens} tokens; {100 * self.longer:.1f} % of {self.texts} train texts fill these or are longer"


def cut_for(encoder: Encoder, rows: Sequence[Row], *, quantile: float | None, at_least: int) -> Cut:
    """At the ``quantile`` of the lengths in tokens, prompts counted in, of the rows' texts, and not below ``at_least``; at most what the
    encoder takes, which is the cut where ``quantile`` is None."""
    lengths = _lengths(encoder, rows)
    limit = encoder.max_length_tokens
    if quantile is not None and len(lengths):
        wanted = int(np.quantile(lengths, quantile, method="higher"))
        limit = min(limit, max(at_least, -(-wanted // STEP) * STEP))
    return Cut(limit, float((lengths >= limit).mean()) if len(lengths) else 0.0, len(lengths))


def cut_at(encoder: Encoder, tokens: int) -> None:
    """From now on, and in the directory that it is saved to."""
    for trunk in encoder.trunks:
        trunk.max_seq_length = min(trunk.max_seq_length or tokens, tokens)
    if encoder.trunks:
        encoder.max_length_tokens = min(encoder.max_length_tokens, tokens)


def _lengths(encoder: Encoder, rows: Sequence[Row]) -> np.ndarray:
    found: list[int] = []
    for task in sorted({row.task for row in rows}):
        for side in ("query", "document"):
            texts = sorted({getattr(row, side) for row in rows if row.task == task})
            some = texts[:: max(1, -(-len(texts) // AT_MOST))]
            found += [len(ids) for ids in encoder.token_ids(some, None, task=task, side=side)]
    return np.array(found, dtype=np.int64)
