"""Training of an affinity model: predicted values of a batch of complexes of any size, one loss over all of them."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from pipeline.adapter.lora import adapt
from pipeline.build import build
from pipeline.corpus.batches import Feed, plan
from pipeline.corpus.row import SPLITS, Row
from pipeline.distributed import agreed, first_process
from pipeline.encoder.encoder import Encoder
from pipeline.metric import spearman
from pipeline.protein.criterion.criterion import Criterion
from pipeline.protein.model import NODES, AffinityModel, Complex, Line, Tokens
from pipeline.protein.token_store import TokenStore
from pipeline.task import KINDS
from pipeline.trainable import check_precision
from pipeline.training.bounds import batches
from pipeline.training.control import shuffled
from pipeline.training.curated import drawn, rows_of
from pipeline.training.job import Fitted, Job
from pipeline.training.look import Look
from pipeline.training.module import ChunkedModule
from pipeline.training.planned import Planned
from pipeline.training.reading import text_hash
from pipeline.training.trainer import Point, module_settings, train, without_gradient

KIND = KINDS["affinity"]  # a plan is drawn, and a curve is named, after it
STORE_TOKENS = 8192  # of a batch whose token vectors are computed for the store: part of what they are, to rounding


@dataclass
class ComplexBatch:
    """One global batch: the same on every process."""

    number: int
    complexes: list[Complex]
    scores: Float[Tensor, " B"]


class Complexes(Planned[ComplexBatch]):
    """The batches of a plan."""

    def __init__(self, rows: Sequence[Row], *, batch_size: int, steps: int, seed: int, by_length: bool) -> None:
        feed = Feed(batch_size, 1, 1.0, apart=False)
        batches = plan({KIND.name: rows}, {KIND.name: feed}, steps=steps, seed=seed, mixed=False, by_length=by_length)
        self.batches = [[group[0] for group in batch.parts[0][1]] for batch in batches]
        self.rows = rows

    def batch(self, number: int) -> ComplexBatch:
        rows = [self.rows[i] for i in self.batches[number]]
        return ComplexBatch(number, [(row.query, row.document) for row in rows], scores_of(rows))


def scores_of(rows: Sequence[Row]) -> Float[Tensor, " B"]:
    return torch.tensor([row.score for row in rows], dtype=torch.float32)


class AffinityModule(ChunkedModule):
    """``tokens``: the token vectors of a frozen backbone, which then takes no part; None trains the backbone too."""

    def __init__(
        self,
        model: AffinityModel,
        criterion: Criterion,
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        tokens: Tokens | None,
        **settings: Any,
    ) -> None:
        super().__init__(optimizer, **settings)
        self.model = model.train()
        self.criterion = criterion
        self.tokens = tokens

    def transfer_batch_to_device(self, batch: ComplexBatch, device: torch.device, dataloader_idx: int) -> ComplexBatch:
        return replace(batch, scores=batch.scores.to(device))  # texts: chunks are moved when their turn comes

    def training_step(self, batch: ComplexBatch, batch_idx: int) -> Tensor:
        mark = (batch.number + int(text_hash([":".join(one) for one in batch.complexes]).sum())) % 2**62
        if not agreed(mark, self.device):
            raise ValueError(
                f"the processes hold different complexes at step {self.global_step}; start all with the same files"
            )
        return self.told(self.loss(batch), KIND.name)

    def loss(self, batch: ComplexBatch) -> Tensor:
        """Of the whole batch, the same on every process."""
        lengths = [self.model.num_tokens(one) for one in batch.complexes]
        predicted = self.one_by_one(
            lambda rows: self.model([batch.complexes[i] for i in rows], self.tokens), lengths, batch.number
        )
        with torch.autocast(predicted.device.type, enabled=False):
            return self.criterion(predicted.float(), batch.scores)

    def ranks(self, complexes: Sequence[Complex], scores: Float[np.ndarray, " B"], *, batch_tokens: int) -> float:
        """Spearman's correlation of predicted and measured values."""
        predicted = self.model.predict(complexes, batch_tokens=batch_tokens, title="validation", tokens=self.tokens)
        return float(spearman(predicted, scores))


class Affinity:
    """An expert that predicts a number for a complex, from the rows as its `control` dealt them."""

    sections = {"expert": "protein.shape.Expert"}  # noqa: RUF012
    learns = ("complexes",)
    keeps = ("affinity",)

    def __call__(self, job: Job) -> Fitted:
        section, tasks = job.section, list(job.section["tasks"])
        rows = {split: rows_of(job.curated, split, tasks, section["corpora"], deal=section["control"]) for split in SPLITS}
        rows["train"] = drawn(rows["train"], section["share"], f"{job.seed} {tasks[0]}")
        return Fitted(*fit_affinity(job.encoder, rows, section, job.runtime, seed=job.seed, name=job.name, inputs=job.inputs))


def check_affinity(
    where: str, training: Mapping[str, Any], runtime: Mapping[str, Any], rows: Mapping[str, Sequence[Row]]
) -> None:
    """Whether section, machine and rows fit each other. ValueError says where, what was expected, found, and what to do."""
    if len(training["tasks"]) != 1:
        raise ValueError(
            f"{where}.tasks: an expert with `affinity` has one task, of kind {KIND.name}, got {', '.join(training['tasks'])}"
        )
    check_precision(where, training, runtime)
    for key in ("early_stop", "best", "snapshots"):
        if training[key] is not None:
            raise ValueError(f"{where}.{key}: expected null for an affinity expert; its `affinity.look` keeps the best weights")
    if training["budget_minutes"] is not None:
        raise ValueError(f"{where}.budget_minutes: expected null for an affinity expert; say its length by epochs or steps")
    if "deepspeed" in str(runtime["strategy"]) or runtime["strategy"] == "fsdp":
        raise ValueError(
            f"{where}: expected runtime.strategy auto or ddp, which hold the model whole, got {runtime['strategy']}"
        )
    for split in ("train", "validation") if training["affinity"]["look"] else ("train",):
        unscored = sum(row.score is None for row in rows[split])
        if not rows[split] or unscored:
            raise ValueError(
                f"{where}: expected {split} {KIND.name} rows, each with a score, got {len(rows[split])} of which {unscored} have none; "
                f"look at data/curated, or choose.experiment"
            )


def fit_affinity(
    encoder: Encoder,
    rows: Mapping[str, Sequence[Row]],
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    seed: int,
    name: str,
    inputs: Mapping[str, str],
) -> tuple[AffinityModel, list[Point]]:
    """``rows`` by split. Weights start as ``seed`` draws them, batches as ``seed`` and ``name`` do: experts of other names and the same
    architecture start at one point, so they may be merged."""
    check_affinity(name, training, runtime, rows)
    settings, (task,) = training["affinity"], training["tasks"].values()
    frozen = settings["backbone"] == "frozen"
    torch.manual_seed(seed)
    nodes = {part: settings[part] for part in NODES}
    model = AffinityModel(encoder, nodes, max_length_tokens=training["max_length_tokens"], control=training["control"])
    model.begin(float(scores_of(rows["train"]).mean()))
    encoder.requires_grad_(False) if frozen else adapt(encoder)
    complexes = {split: [(row.query, row.document) for row in of_split] for split, of_split in rows.items()}
    tokens = _store(model, complexes, inputs, runtime) if frozen else None
    learned = shuffled(rows["train"], seed) if task["shuffle_documents"] else list(rows["train"])
    draw = random.Random(f"{seed} {name}").getrandbits(31)
    counts = batches(training, {name: len(learned) for name in training["tasks"]})
    (steps,) = counts.values()
    data = Complexes(learned, batch_size=task["batch_size"], steps=steps, seed=draw, by_length=training["by_length"])
    criterion, optimizer = build(task["objective"]), build(training["optimizer"], later=True)
    module = AffinityModule(
        model, criterion, optimizer, tokens=tokens, **module_settings(training, runtime, steps=steps, seed=draw)
    )
    idle = without_gradient(module, lambda: model(complexes["train"][:2], tokens).sum())
    looked = _spread(rows.get("validation", []), settings["look"]["complexes"]) if settings["look"] else []
    callbacks: list[Callback] = []
    limits = {"batch_tokens": min(runtime["batch_tokens"], training["chunk_tokens"])}
    if looked:
        pairs = [(row.query, row.document) for row in looked]
        measure = partial(AffinityModule.ranks, complexes=pairs, scores=scores_of(looked).numpy(), **limits)
        when = {"every_steps": settings["look"]["every_steps"], "patience": None}
        callbacks = [Look("validation_spearman", measure, better="higher", keep=True, **when)]
    curve = train(module, data, training, runtime, seed=seed, name=name, inputs=inputs, idle=idle, callbacks=callbacks).curve
    if first_process() and not criterion.in_units:
        told = _spread(learned, 1000)
        predicted = model.predict([(r.query, r.document) for r in told], title="scale", tokens=tokens, **limits)
        model.line = line_through(predicted, scores_of(told).numpy())
    return model, curve


def line_through(predicted: Float[np.ndarray, " B"], score: Float[np.ndarray, " B"]) -> Line:
    """Least squares; a level line where all predictions are equal."""
    spread = float(predicted.std())
    slope = float(np.cov(predicted, score, bias=True)[0, 1]) / spread**2 if spread > 0 else 0.0
    return Line(slope, float(score.mean()) - slope * float(predicted.mean()))


def _store(
    model: AffinityModel, complexes: Mapping[str, Sequence[Complex]], inputs: Mapping[str, str], runtime: Mapping[str, Any]
) -> TokenStore:
    """Of the texts of all splits, though only train and validation are asked for: another deal of the same rows finds the same file."""
    texts = model.texts(one for of_split in complexes.values() for one in of_split)
    folder, base = Path(runtime["tokens"]), inputs["checkpoints/base"]
    return TokenStore(
        folder, model.encoder, texts, mark=base, max_length_tokens=model.max_length_tokens, batch_tokens=STORE_TOKENS
    )


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many of them, evenly spread."""
    return [rows[i] for i in sorted({round(k * (len(rows) - 1) / max(1, most - 1)) for k in range(most)})] if rows else []
