"""A pretext: self-supervised training of a backbone on texts alone, as a phase before the contrastive ones.

What answers the pretext's question (a decoder, a layer over the vocabulary) is thrown away afterwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pipeline.build import build
from pipeline.corpus.files import read_rows
from pipeline.corpus.row import sequences
from pipeline.encoder.encoder import Encoder
from pipeline.trainable import check_precision
from pipeline.training.job import Fitted, Job
from pipeline.training.module import ChunkedModule
from pipeline.training.planned import Planned
from pipeline.training.trainer import module_settings, train, without_gradient


class Pretext(ABC):
    """A new one names its arguments in ``__init__`` (YAML gives them under `fit`), repeats ``sections``, and writes the three methods, and
    `pieces` where it does not read whole texts."""

    sections = {"phase": "shape.Pretext"}  # noqa: RUF012

    def pieces(self, texts: Sequence[str]) -> list[str]:
        """What is turned into tokens, in the place of the texts. Called once, before `batches`, which gets the ids of these."""
        return list(texts)

    @abstractmethod
    def batches(self, ids: Sequence[Sequence[int]], encoder: Encoder, *, steps: int, seed: int, where: str) -> Planned[Any]:
        """A batch a step, planned from the seed. ``ids``: the token ids of each piece; ``where`` begins the message of a ValueError."""

    @abstractmethod
    def module(self, encoder: Encoder, **settings: Any) -> ChunkedModule:
        """Holds ``encoder`` and what answers; ``settings`` are those of `ChunkedModule`."""

    @abstractmethod
    def sample(self, module: Any, data: Any) -> Tensor:
        """The loss of something small: weights that it does not depend on take no part in the training."""

    def __call__(self, job: Job) -> Fitted:
        """Each text of the train rows is one sequence; chains of proteins are read one by one (`pipeline.task.Kind.texts`)."""
        section, runtime = job.section, job.runtime
        check_precision(job.name, section, runtime)
        if str(runtime["strategy"]) not in ("auto", "ddp"):
            raise ValueError(
                f"{job.name}: expected runtime.strategy auto or ddp, which hold the model whole; got {runtime['strategy']}"
            )
        rows = read_rows(job.curated, "train")
        texts = sequences(row for corpus, row in rows if section["corpora"] is None or corpus in section["corpora"])
        steps = section["steps"]
        ids = job.encoder.token_ids(self.pieces(texts), section["max_length_tokens"])
        data = self.batches(ids, job.encoder, steps=steps, seed=job.seed, where=job.name)
        settings = module_settings(section, runtime, steps=steps, seed=job.seed)
        module = self.module(job.encoder, optimizer=build(section["optimizer"], later=True), **settings)
        idle = without_gradient(module, lambda: self.sample(module, data))
        run = train(module, data, section, runtime, seed=job.seed, name=job.name, inputs=job.inputs, idle=idle)
        return Fitted(job.encoder, run.curve)
