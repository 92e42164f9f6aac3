"""Training of an affinity model: predicted values of a batch of complexes of any size, one loss over all of them."""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from pipeline.affinity.model import AffinityModel, Complex, Line, Tokens
from pipeline.affinity.token_store import TokenStore
from pipeline.corpus.batches import Feed, plan
from pipeline.corpus.row import Row
from pipeline.criterion.criterion import Criterion
from pipeline.distributed import agreed, first_process
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.lora import adapt
from pipeline.metric import spearman
from pipeline.params import build
from pipeline.task import KINDS
from pipeline.trainable import check_precision
from pipeline.training.control import shuffled
from pipeline.training.fit import RUNS
from pipeline.training.module import ChunkedModule
from pipeline.training.reading import text_hash
from pipeline.training.strategy import strategy_for
from pipeline.training.trainer import Point, curve_in, mark_of, run_trainer, without_gradient

KIND = KINDS["affinity"]  # a plan is drawn, and a curve is named, after it
STORE_TOKENS = 8192  # of a batch whose token vectors are computed for the store: part of what they are, to rounding


@dataclass
class ComplexBatch:
    """One global batch: the same on every process."""

    number: int
    complexes: list[Complex]
    scores: Float[Tensor, " B"]


class Complexes:
    """The batches of a plan. Knows how many it gave, so that a resumed training goes on with the next one."""

    def __init__(self, rows: Sequence[Row], *, batch_size: int, steps: int, seed: int, by_length: bool) -> None:
        feed = Feed(batch_size, 1, 1.0, apart=False)
        batches = plan({KIND.name: rows}, {KIND.name: feed}, steps=steps, seed=seed, mixed=False, by_length=by_length)
        self.batches = [[group[0] for group in batch.parts[0][1]] for batch in batches]
        self.rows = rows
        self.given = self.start = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[ComplexBatch]:
        start, self.start = self.start, 0
        for number in range(start, len(self.batches)):
            rows = [self.rows[i] for i in self.batches[number]]
            self.given = number + 1
            yield ComplexBatch(number, [(row.query, row.document) for row in rows], scores_of(rows))

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = self.given = state["given"]


def scores_of(rows: Sequence[Row]) -> Float[Tensor, " B"]:
    return torch.tensor([row.score for row in rows], dtype=torch.float32)


class AffinityModule(ChunkedModule):
    """``tokens``: the token vectors of a frozen backbone, which then takes no part; None trains the backbone too."""

    def __init__(
        self, model: AffinityModel, criterion: Criterion, optimizer: Callable[..., torch.optim.Optimizer], *, tokens: Tokens | None,
        **settings: Any,
    ) -> None:  # fmt: skip
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


class BestKept(Callback):
    """Every ``every_steps`` Spearman's correlation on validation complexes; at the end the weights that had the best.

    Stands before `Resumable`, so that a checkpoint holds what was seen at its step."""

    def __init__(
        self, complexes: Sequence[Complex], scores: Float[np.ndarray, " B"], *, every_steps: int, batch_tokens: int
    ) -> None:
        self.complexes = complexes
        self.scores = scores
        self.every_steps = every_steps
        self.batch_tokens = batch_tokens
        self.best = -2.0
        self.weights: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.weights = state_dict["best"], state_dict["weights"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, AffinityModule)
        if trainer.global_step % self.every_steps and trainer.global_step != trainer.max_steps:
            return
        predicted = pl_module.model.predict(
            self.complexes, batch_tokens=self.batch_tokens, title="validation", tokens=pl_module.tokens
        )
        found = float(spearman(predicted, self.scores))
        pl_module.log("validation_spearman", found, prog_bar=True, batch_size=1)
        if found > self.best:
            trained = ((name, weight) for name, weight in pl_module.model.named_parameters() if weight.requires_grad)
            self.best, self.weights = found, {name: weight.detach().clone() for name, weight in trained}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, AffinityModule)
        with torch.no_grad():
            for name, weight in pl_module.model.named_parameters():
                if name in self.weights:
                    weight.copy_(self.weights[name])


def check_affinity(
    where: str, training: Mapping[str, Any], runtime: Mapping[str, Any], rows: Mapping[str, Sequence[Row]]
) -> None:
    """Whether section, machine and rows fit each other. ValueError says where, what was expected, found, and what to do."""
    if len(training["tasks"]) != 1:
        raise ValueError(
            f"{where}.tasks: an expert with `affinity` has one task, of kind {KIND.name}, got {', '.join(training['tasks'])}"
        )
    check_precision(where, training, runtime)
    if training["early_stop"] is not None:
        raise ValueError(
            f"{where}.early_stop: expected null for an affinity expert; its `affinity.look` keeps the best weights"
        )
    if training["snapshots"] is not None:
        raise ValueError(f"{where}.snapshots: expected null for an affinity expert; its `affinity.look` keeps the best weights")
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
    encoder: Encoder, rows: Mapping[str, Sequence[Row]], training: Mapping[str, Any], runtime: Mapping[str, Any], *, seed: int,
    name: str, inputs: Mapping[str, str],
) -> tuple[AffinityModel, list[Point]]:  # fmt: skip
    """``rows`` by split. Weights start as ``seed`` draws them, batches as ``seed`` and ``name`` do: experts of other names and the same
    architecture start at one point, so they may be merged."""
    check_affinity(name, training, runtime, rows)
    settings, (task,) = training["affinity"], training["tasks"].values()
    strategy = strategy_for(runtime)
    frozen = settings["backbone"] == "frozen"
    torch.manual_seed(seed)
    nodes = {part: settings[part] for part in ("architecture", "head")}
    model = AffinityModel(encoder, nodes, max_length_tokens=training["max_length_tokens"], control=training["control"])
    model.begin(float(scores_of(rows["train"]).mean()))
    if frozen:
        encoder.requires_grad_(False)
    else:
        adapt(encoder)
    complexes = {split: [(row.query, row.document) for row in of_split] for split, of_split in rows.items()}
    tokens = _store(model, complexes, inputs, runtime) if frozen else None
    learned = shuffled(rows["train"], seed) if task["shuffle_documents"] else list(rows["train"])
    draw = random.Random(f"{seed} {name}").getrandbits(31)
    steps = training["steps_per_task"]
    by_length = training["by_length"]
    data = Complexes(learned, batch_size=task["batch_size"], steps=steps, seed=draw, by_length=by_length)
    criterion = build(task["objective"])
    module = AffinityModule(
        model, criterion, build(training["optimizer"], later=True), tokens=tokens, steps=steps,
        warmup_steps=training["warmup_steps"], seed=draw, chunk_tokens=training["chunk_tokens"], kept_tokens=runtime["kept_tokens"],
        return_memory=runtime["return_memory"], on_nonfinite=training["on_nonfinite"],
    )  # fmt: skip
    unused = without_gradient(module, lambda: model(complexes["train"][:2], tokens).sum())
    folder = RUNS / f"{name}-{mark_of(training, seed, inputs)}"
    looked = _spread(rows.get("validation", []), settings["look"]["complexes"]) if settings["look"] else []
    callbacks: list[Callback] = []
    limits = {"batch_tokens": min(runtime["batch_tokens"], training["chunk_tokens"])}
    if looked:
        pairs = [(row.query, row.document) for row in looked]
        callbacks = [BestKept(pairs, scores_of(looked).numpy(), every_steps=settings["look"]["every_steps"], **limits)]
    run_trainer(module, data, training, runtime, strategy=strategy, steps=steps, folder=folder, name=name, callbacks=callbacks)
    for weight in unused:
        weight.requires_grad_(True)
    if not first_process():
        return model, []
    if not criterion.in_units:
        told = _spread(learned, 1000)
        predicted = model.predict([(r.query, r.document) for r in told], title="scale", tokens=tokens, **limits)
        model.line = line_through(predicted, scores_of(told).numpy())
    curve = curve_in(folder)
    shutil.rmtree(folder)
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
