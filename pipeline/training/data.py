"""Rows to batches of token ids, for the trainer."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.corpus.batches import Batch, plan
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder


@dataclass  # not frozen: Lightning moves the tensors to the device in place
class TextBatch:
    """One global batch of one task. The last fields are as in `EmbeddedPairs`; masks are 1 on text, 0 on padding."""

    task: str
    query_ids: Int[Tensor, "B L"]
    query_mask: Int[Tensor, "B L"]
    document_ids: Int[Tensor, "N L"]
    document_mask: Int[Tensor, "N L"]
    positive: Int[Tensor, "B P"]
    negative: Int[Tensor, "B H"]
    query_text: Int[Tensor, " B"]
    document_text: Int[Tensor, " N"]
    score: Float[Tensor, " B"] | None


class Batches:
    """The batches of a plan as tensors. Knows how many it gave, so that a resumed training goes on with the next one."""

    def __init__(
        self, batches: Sequence[Batch], rows: Mapping[str, Sequence[Row]], negatives: Mapping[str, Mapping[str, list[str]]],
        encoder: Encoder, *, max_length_tokens: int, num_negatives: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.batches = batches
        self.rows = rows
        self.negatives = negatives
        self.encoder = encoder
        self.max_length_tokens = max_length_tokens
        self.num_negatives = num_negatives
        self.given = 0  # of this pass
        self.start = 0  # of the next pass

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[TextBatch]:
        start, self.start = self.start, 0
        for number in range(start, len(self.batches)):
            batch = self._tensors(self.batches[number])
            self.given = number + 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = self.given = state["given"]

    def _tensors(self, batch: Batch) -> TextBatch:
        rows = [self.rows[batch.task][i] for i in batch.rows]
        queries, documents = [row.query for row in rows], [row.document for row in rows]
        known = self.negatives.get(batch.task, {})
        own = set(documents)
        negative = torch.full((len(rows), self.num_negatives[batch.task]), -1)
        for i, row in enumerate(rows):
            mined = [text for text in known.get(row.query, []) if text not in own][: negative.shape[1]]
            negative[i, : len(mined)] = torch.arange(len(documents), len(documents) + len(mined))
            documents += mined
        query_ids, query_mask = self._padded(queries)
        document_ids, document_mask = self._padded(documents)
        graded = all(row.score is not None for row in rows)
        score = torch.tensor([row.score for row in rows], dtype=torch.float32) if graded else None
        return TextBatch(
            batch.task, query_ids, query_mask, document_ids, document_mask,
            torch.arange(len(rows))[:, None], negative, text_hash(queries), text_hash(documents), score,
        )  # fmt: skip

    def _padded(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        return self.encoder.padded(self.encoder.token_ids(texts, self.max_length_tokens))


def text_hash(texts: Sequence[str]) -> Int[Tensor, " B"]:
    """Equal numbers for equal texts, on every process."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


class TrainingData(pl.LightningDataModule):
    """The training rows of one expert or phase, by task, with the batches planned before the first step."""

    def __init__(
        self, rows: Mapping[str, Sequence[Row]], negatives: Mapping[str, Mapping[str, list[str]]], encoder: Encoder, *,
        batch_size: Mapping[str, int], num_negatives: Mapping[str, int], steps: int, max_length_tokens: int, seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        batches = plan(rows, batch_size, steps=steps, seed=seed)
        self.batches = Batches(
            batches, rows, negatives, encoder, max_length_tokens=max_length_tokens, num_negatives=num_negatives
        )

    def train_dataloader(self) -> Batches:
        return self.batches


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows with documents (and scores) dealt anew: the control. What a model gains on these it did not learn from pairs."""
    order = list(range(len(rows)))
    random.Random(f"{seed} control").shuffle(order)
    return [
        replace(row, document_id=rows[i].document_id, document=rows[i].document, score=rows[j].score)
        for row, i, j in zip(rows, order, order[::-1], strict=True)
    ]
