"""Rows to batches of token ids, for the trainer."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.corpus.batches import Batch, Feed, plan
from pipeline.corpus.row import Row
from pipeline.task import kind_of
from pipeline.teacher.teacher import Teacher
from pipeline.training.control import dealt
from pipeline.training.planned import Planned
from pipeline.training.reading import Known, Reader, text_hash
from pipeline.view.view import Side, View


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
    known: Int[Tensor, "E 2"]
    score: Float[Tensor, " B"] | None
    teacher: Float[Tensor, "B C"] | None = None


@dataclass
class TextBatch:
    """One global batch: the same on every process. Texts are the queries of each part, then the documents of each part."""

    number: int  # in the plan
    parts: list[Part]  # one, but for mixed batches
    ids: list[Tensor]  # of each text, not padded; on the CPU until its chunk is encoded
    hashes: Int[Tensor, " T"]  # of each text as the encoder reads it where no view has changed it

    @property
    def size(self) -> int:
        return sum(len(part.positive) for part in self.parts)

    @property
    def mark(self) -> int:
        """Below 2 ** 62; the same for the same texts, in the same parts."""
        tasks = text_hash([f"{part.task} {part.first_query} {part.first_document}" for part in self.parts])
        places = torch.arange(1, len(self.hashes) + 1, device=self.hashes.device)
        known = sum(int((part.known[:, 0] * 3 + part.known[:, 1]).sum()) for part in self.parts)
        return (self.number + int(tasks.sum()) + int((self.hashes * places).sum()) + known) % 2**62  # products wrap around

    @property
    def told(self) -> str:
        return f"batch {self.number}, " + ", ".join(f"{len(part.positive)} queries of task {part.task}" for part in self.parts)


class Text(NamedTuple):
    """``prompt`` as `Reader.prompt` gives it."""

    task: str
    side: Side
    prompt: str
    text: str


class Batches(Planned[TextBatch]):
    """The batches of a plan as token ids.

    ``views`` by task: those by which each step reads something else of a text, drawn from ``seed``.
    ``known`` by task: what is no negative of what. ``sources`` by task: for each row the query whose mined negatives and whose teacher's
    scores it has, where that is not its own.
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        rows: Mapping[str, Sequence[Row]],
        negatives: Mapping[str, Mapping[str, list[str]]],
        reader: Reader,
        *,
        known: Mapping[str, Known],
        sources: Mapping[str, Sequence[str]],
        num_negatives: Mapping[str, int],
        teachers: Mapping[str, Teacher],
        views: Mapping[str, View],
        seed: int,
    ) -> None:
        self.views = views
        self.seed = seed
        self.batches = batches
        self.rows = rows
        self.negatives = negatives
        self.reader = reader
        self.known = known
        self.sources = sources
        self.num_negatives = num_negatives
        self.teachers = teachers

    def batch(self, number: int) -> TextBatch:
        queries: list[Text] = []
        documents: list[Text] = []
        parts: list[Part] = []
        for task, groups in self.batches[number].parts:
            part, own_queries, own_documents = self._part(task, groups)
            part.first_query, part.first_document = len(queries), len(documents)
            queries += [Text(task, "query", self.reader.prompt(task, "query"), text) for text in own_queries]
            documents += [Text(task, "document", self.reader.prompt(task, "document"), text) for text in own_documents]
            parts.append(part)
        asked: dict[str, list[str]] = {}
        for one in (*queries, *documents):
            asked.setdefault(one.prompt, []).append(one.text)
        for part in parts:
            part.first_document += len(queries)
            part.known = self.known[part.task].among(asked)
        ids = [self._ids(one, f"{self.seed} view {number} {place}") for place, one in enumerate((*queries, *documents))]
        codes = [int(self.reader.codes(one.prompt, [one.text])[0]) for one in (*queries, *documents)]
        return TextBatch(number, parts, ids, torch.tensor(codes))

    def _ids(self, one: "Text", seed: str) -> Tensor:
        view = self.views.get(one.task)
        if view is None:
            return self.reader.ids(one.prompt, one.text)
        draw = random.Random(seed)
        read = self.reader.read_once(one.task, one.side, view.text(one.text, one.side, draw))
        return torch.tensor(view.ids(read, one.side, draw, self.reader.limit), dtype=torch.int32)

    def _part(self, task: str, groups: Sequence[Sequence[int]]) -> tuple[Part, list[str], list[str]]:
        """Each group holds the rows of one query. What is known is not yet in it."""
        rows = self.rows[task]
        queries = [rows[group[0]].query for group in groups]
        answers = [[rows[i].document for i in group] for group in groups]
        documents = [answer[0] for answer in answers]  # the main ones first, in the order of the queries
        positive = torch.full((len(groups), max(map(len, groups))), -1)
        positive[:, 0] = torch.arange(len(groups))
        for i, answer in enumerate(answers):
            positive[i, 1 : len(answer)] = torch.arange(len(documents), len(documents) + len(answer) - 1)
            documents += answer[1:]
        sources = [self.sources[task][group[0]] for group in groups] if task in self.sources else queries
        found = self.negatives.get(task, {})
        mined = [found.get(source, ()) for source in sources]
        negative = self._negatives(task, queries, answers, mined, documents)
        scores = [rows[group[0]].score for group in groups]
        graded = all(score is not None for score in scores)
        score = torch.tensor(scores, dtype=torch.float32) if graded else None
        teacher = self.teachers[task].scores(task, sources, documents, positive, negative) if task in self.teachers else None
        nothing = torch.empty(0, 2, dtype=torch.int64)
        return Part(task, 0, 0, len(documents), positive, negative, nothing, score, teacher), queries, documents

    def _negatives(
        self,
        task: str,
        queries: Sequence[str],
        answers: Sequence[Sequence[str]],
        mined: Sequence[Sequence[str]],
        documents: list[str],
    ) -> Int[Tensor, "B H"]:
        """Places of mined texts, hardest first: none that reads like the query or like anything known to answer it, and none twice.
        New texts are put behind ``documents``; one that is read there already is found there."""
        negative = torch.full((len(queries), self.num_negatives[task]), -1)
        if not negative.numel():
            return negative
        prompt, of_documents = self.reader.prompt(task, "query"), self.reader.prompt(task, "document")
        place: dict[int, int] = {}
        for n, code in enumerate(self.reader.codes(of_documents, documents).tolist()):
            place.setdefault(code, n)
        barred = self.known[task].barred(queries, prompt, of_documents)
        for i, texts in enumerate(mined):
            taken = barred[i] | set(self.reader.codes(of_documents, answers[i]).tolist())
            chosen: list[int] = []
            for text, code in zip(texts, self.reader.codes(of_documents, texts).tolist(), strict=True):
                if len(chosen) == negative.shape[1]:
                    break
                if code in taken:
                    continue
                taken.add(code)
                if code not in place:
                    place[code] = len(documents)
                    documents.append(text)
                chosen.append(place[code])
            negative[i, : len(chosen)] = torch.tensor(chosen, dtype=torch.int64)
        return negative


class TrainingData(pl.LightningDataModule):
    """The training rows of one expert or phase, by task, with the batches planned before the first step.

    ``known``: all rows that say what answers what, of any task, be they trained on or not. Graded pairs say so to graded tasks alone: one
    of the lowest grade answers nothing. The rows of tasks that are ``shuffled`` are
    the control's, and what is known there is what was dealt.
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[Row]],
        negatives: Mapping[str, Mapping[str, list[str]]],
        reader: Reader,
        *,
        known: Sequence[Row],
        shuffled: Collection[str],
        feeds: Mapping[str, Feed],
        num_negatives: Mapping[str, int],
        steps: int,
        seed: int,
        mixed: bool,
        by_length: bool,
        teachers: Mapping[str, Teacher],
        views: Mapping[str, View],
    ) -> None:
        super().__init__()
        every = [*known, *(row for of_task in rows.values() for row in of_task)]
        answers_only = Known([row for row in every if kind_of(row).answers], reader)
        graded = {task for task, own in rows.items() if own and not kind_of(own[0]).answers}
        of_task = {task: Known(every, reader) if task in graded else answers_only for task in rows}
        rows, sources = dict(rows), {}
        for task in shuffled:
            own = rows[task]
            prompts = reader.prompt(task, "query"), reader.prompt(task, "document")
            answers = of_task[task].barred([row.query for row in own], *prompts)
            documents = reader.codes(prompts[1], [row.document for row in own]).tolist()
            rows[task], places = dealt(own, answers, documents, seed)
            if own and not rows[task]:
                raise ValueError(
                    f"task {task}: a control deals each query a document that answers another, and none of {len(own)} rows can have one, "
                    f"as all share a document; set shuffle_documents to false"
                )
            if len(rows[task]) < len(own):
                print(
                    f"{task}: {len(own) - len(rows[task])} of {len(own)} rows have no place in the control: no document is left for them"
                )
            of_task[task], sources[task] = Known(rows[task], reader), [own[j].query for j in places]
        batches = plan(rows, feeds, steps=steps, seed=seed, mixed=mixed, by_length=by_length)
        settings: dict[str, Any] = {"known": of_task, "sources": sources, "num_negatives": num_negatives, "teachers": teachers}
        settings |= {"views": views, "seed": seed}
        self.batches = Batches(batches, rows, negatives, reader, **settings)

    def train_dataloader(self) -> Batches:
        return self.batches
