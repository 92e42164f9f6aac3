"""Rows to batches of token ids, for the trainer."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.corpus.batches import Batch, Feed, plan
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.training.teacher import Teacher


@dataclass  # not frozen: Lightning moves the tensors to the device in place
class Part:
    """The rows of one task in a batch. ``first_query`` and ``first_document`` stand in the texts; the rest is as in `EmbeddedPairs`,
    documents counted from 0 within the part."""

    task: str
    first_query: int
    first_document: int
    num_documents: int
    positive: Int[Tensor, "B P"]
    negative: Int[Tensor, "B H"]
    score: Float[Tensor, " B"] | None
    teacher: Float[Tensor, "B C"] | None = None


@dataclass
class TextBatch:
    """One global batch: the same on every process. Texts are the queries of each part, then the documents of each part."""

    number: int  # in the plan
    parts: list[Part]  # one, but for mixed batches
    ids: list[Tensor]  # of each text, not padded; on the CPU until its chunk is encoded
    hashes: Int[Tensor, " T"]  # of each text

    @property
    def size(self) -> int:
        return sum(len(part.positive) for part in self.parts)

    @property
    def mark(self) -> int:
        """Below 2 ** 62; the same for the same texts, in the same parts."""
        tasks = text_hash([f"{part.task} {part.first_query} {part.first_document}" for part in self.parts])
        places = torch.arange(1, len(self.hashes) + 1, device=self.hashes.device)
        return (self.number + int(tasks.sum()) + int((self.hashes * places).sum())) % 2**62  # products wrap around

    @property
    def told(self) -> str:
        return f"batch {self.number}, " + ", ".join(f"{len(part.positive)} queries of task {part.task}" for part in self.parts)


Asked: TypeAlias = tuple[str, str, str]  # task, side, text


class Batches:
    """The batches of a plan as token ids. Knows how many it gave, so that a resumed training goes on with the next one.

    A text is turned into tokens once in a training, when it is first met.
    """

    def __init__(
        self, batches: Sequence[Batch], rows: Mapping[str, Sequence[Row]], negatives: Mapping[str, Mapping[str, list[str]]],
        encoder: Encoder, *, max_length_tokens: int, num_negatives: Mapping[str, int], teachers: Mapping[str, Teacher],
    ) -> None:  # fmt: skip
        self.batches = batches
        self.rows = rows
        self.negatives = negatives
        self.encoder = encoder
        self.max_length_tokens = max_length_tokens
        self.num_negatives = num_negatives
        self.teachers = teachers
        self.given = 0  # of this pass
        self.start = 0  # of the next pass
        self._known: dict[tuple[str, str], tuple[Tensor, int]] = {}  # ids and hash by prompt and text

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[TextBatch]:
        start, self.start = self.start, 0
        for number in range(start, len(self.batches)):
            batch = self._tensors(number)
            self.given = number + 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = self.given = state["given"]

    def _tensors(self, number: int) -> TextBatch:
        queries: list[Asked] = []
        documents: list[Asked] = []
        parts: list[Part] = []
        for task, groups in self.batches[number].parts:
            part, own_queries, own_documents = self._part(task, groups)
            part.first_query, part.first_document = len(queries), len(documents)
            queries += [(task, "query", text) for text in own_queries]
            documents += [(task, "document", text) for text in own_documents]
            parts.append(part)
        for part in parts:
            part.first_document += len(queries)
        ids, hashes = self._tokens([*queries, *documents])
        return TextBatch(number, parts, ids, hashes)

    def _part(self, task: str, groups: Sequence[Sequence[int]]) -> tuple[Part, list[str], list[str]]:
        """Each group holds the rows of one query."""
        rows = self.rows[task]
        queries = [rows[group[0]].query for group in groups]
        answers = [[rows[i].document for i in group] for group in groups]
        documents = [answer[0] for answer in answers]  # the main ones first, in the order of the queries
        positive = torch.full((len(groups), max(map(len, groups))), -1)
        positive[:, 0] = torch.arange(len(groups))
        for i, answer in enumerate(answers):
            positive[i, 1 : len(answer)] = torch.arange(len(documents), len(documents) + len(answer) - 1)
            documents += answer[1:]
        known = self.negatives.get(task, {})
        own = set(documents)
        negative = torch.full((len(groups), self.num_negatives[task]), -1)
        for i, query in enumerate(queries):
            mined = [text for text in known.get(query, []) if text not in own][: negative.shape[1]]
            negative[i, : len(mined)] = torch.arange(len(documents), len(documents) + len(mined))
            documents += mined
        scores = [rows[group[0]].score for group in groups]
        graded = all(score is not None for score in scores)
        score = torch.tensor(scores, dtype=torch.float32) if graded else None
        teacher = self.teachers[task](task, queries, documents, positive, negative) if task in self.teachers else None
        return Part(task, 0, 0, len(documents), positive, negative, score, teacher), queries, documents

    def _tokens(self, asked: list[Asked]) -> tuple[list[Tensor], Tensor]:
        """Ids, with the prompt of task and side, and hashes; every text is tokenised once in a training."""
        keys = [(self.encoder.prompt(task, side), text) for task, side, text in asked]
        new: dict[tuple[str, str], dict[str, None]] = {}
        for (task, side, text), key in zip(asked, keys, strict=True):
            if key not in self._known:
                new.setdefault((task, side), {})[text] = None
        for (task, side), texts in new.items():
            ids = self.encoder.token_ids(list(texts), self.max_length_tokens, task=task, side=side)
            prompt, hashes = self.encoder.prompt(task, side), text_hash(list(texts)).tolist()
            self._known |= {
                (prompt, text): (torch.tensor(row, dtype=torch.int32), number)
                for text, row, number in zip(texts, ids, hashes, strict=True)
            }
        return [self._known[key][0] for key in keys], torch.tensor([self._known[key][1] for key in keys])


def text_hash(texts: Sequence[str]) -> Int[Tensor, " B"]:
    """Equal numbers for equal texts, on every process."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


class TrainingData(pl.LightningDataModule):
    """The training rows of one expert or phase, by task, with the batches planned before the first step."""

    def __init__(
        self, rows: Mapping[str, Sequence[Row]], negatives: Mapping[str, Mapping[str, list[str]]], encoder: Encoder, *,
        feeds: Mapping[str, Feed], num_negatives: Mapping[str, int], steps: int, max_length_tokens: int, seed: int, mixed: bool,
        by_length: bool, teachers: Mapping[str, Teacher],
    ) -> None:  # fmt: skip
        super().__init__()
        batches = plan(rows, feeds, steps=steps, seed=seed, mixed=mixed, by_length=by_length)
        self.batches = Batches(
            batches,
            rows,
            negatives,
            encoder,
            max_length_tokens=max_length_tokens,
            num_negatives=num_negatives,
            teachers=teachers,
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
