"""The search of Self Positioning: a few numbers, trained on a probe set of training pairs; half of it is held out.

Reads: data/curated/ (train), and the base and experts that merge gives it.

A step places ``base + sum c_k delta_k`` in the encoder, takes an ordinary gradient g of the loss, and K inner products
``p_k = <g, delta_k>``; the chain rule through the K-dimensional graph of ``c`` does the rest. Base and task vectors lie in
memory meanwhile, K + 1 times the model. Each process of several averages its gradients with the others', as in any training.
"""

import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.checkpoint import write_text
from pipeline.corpus.batches import plan
from pipeline.corpus.files import read_rows
from pipeline.corpus.row import Row
from pipeline.delta import Models, Rows, total
from pipeline.encoder.encoder import Encoder
from pipeline.merging.method import Method
from pipeline.merging.self_positioning import SelfPositioning
from pipeline.params import build
from pipeline.tensors import EmbeddedPairs
from pipeline.training.data import Batches, TextBatch
from pipeline.training.fit import RUNS, curve_text
from pipeline.training.prepare import prepare
from pipeline.training.tracking import finish, loggers

CURATED = Path("data/curated")
OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class Positioning(pl.LightningModule):
    """Its parameters are the method's: one for each expert, and the norm. ``rows`` by name of the backbone's parameter."""

    def __init__(
        self, method: SelfPositioning, encoder: Encoder, rows: Mapping[str, Rows], gram: Float[Tensor, "K K"],
        objectives: Mapping[str, nn.Module], held_out: Sequence[TextBatch], *, optimizer: str, lr: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.method = method
        self.objectives = nn.ModuleDict(objectives)
        self.gram = gram
        self.held_out = held_out
        self.optimizer = optimizer
        self.lr = lr
        self.trajectory: list[dict[str, Any]] = []
        self.losses: dict[str, dict[str, float]] = {}  # of the held-out half, by task, at the start and at what was found
        self._frozen = (encoder.eval(), dict(rows))  # in a tuple: no part of this module's parameters

    def place(self, c: Float[Tensor, " K"]) -> dict[str, nn.Parameter]:
        """The merged weights into the encoder; its parameters that have a task vector."""
        encoder, rows = self._frozen
        placed = {name: value for name, value in encoder.backbone.named_parameters() if name in rows}
        with torch.no_grad():
            for name, value in placed.items():
                factors = torch.cat([c.new_ones(1), c]).to(rows[name])
                value.copy_((factors @ rows[name]).view_as(value))
        return placed

    def loss(self, batch: TextBatch) -> Tensor:
        encoder, _ = self._frozen
        query = encoder(batch.query_ids, batch.query_mask)
        document = encoder(batch.document_ids, batch.document_mask)
        pairs = EmbeddedPairs(
            query, document, batch.positive, batch.negative, batch.query_text, batch.document_text,
            slice(0, len(query)), batch.score,
        )  # fmt: skip
        return self.objectives[batch.task](pairs)

    def along(self, batch: TextBatch, c: Float[Tensor, " K"]) -> tuple[Tensor, Float[Tensor, " K"]]:
        """The loss at ``c``, and its derivative along each task vector."""
        placed, (_, rows) = self.place(c), self._frozen
        loss = self.loss(batch)
        gradients = torch.autograd.grad(loss, list(placed.values()), allow_unused=True)
        p = torch.zeros_like(c)
        for name, g in zip(placed, gradients, strict=True):
            if g is not None:
                p += (rows[name][1:] @ g.flatten()).to(p)
        return loss.detach(), p

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        c = self.method.effective(self.gram)
        loss, p = self.along(batch, c.detach())
        if not torch.isfinite(loss):
            raise ValueError(f"the probe loss of task {batch.task} is {loss.item()} at step {self.global_step}; lower probe.lr")
        numbers = {"norm": self.method.norm} | {f"a/{k}": v for k, v in enumerate(self.method.a)}
        numbers |= {f"coefficient/{k}": v for k, v in enumerate(c)}
        point = {name: float(value.detach()) for name, value in numbers.items()}
        point |= {"loss": float(loss), f"loss/{batch.task}": float(loss)}
        self.trajectory.append({"step": self.global_step, **point})
        for logger in self.loggers:
            logger.log_metrics(point, step=self.global_step)
        penalized = loss + self.method.penalty * self.method.norm
        return penalized + ((c - c.detach()) * p).sum()  # the last is 0; its gradient is that of the loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return OPTIMIZERS[self.optimizer](self.method.parameters(), lr=self.lr)

    def on_fit_start(self) -> None:
        encoder, rows = self._frozen
        encoder.to(self.device)
        rows.update({name: value.to(self.device) for name, value in rows.items()})
        self.gram = self.gram.to(self.device)

    def on_train_start(self) -> None:
        self.losses["start"] = self.held_out_losses()

    def on_train_end(self) -> None:
        self.losses["found"] = self.held_out_losses()

    @torch.no_grad()
    def held_out_losses(self) -> dict[str, float]:
        """Mean loss of each task, without the penalty."""
        self.place(self.method.effective(self.gram))
        found: dict[str, list[float]] = {}
        for batch in self.held_out:
            found.setdefault(batch.task, []).append(float(self.loss(self.transfer_batch_to_device(batch, self.device, 0))))
        return {task: sum(values) / len(values) for task, values in sorted(found.items())}


def search(
    method: Method, base: Path, models: Models, probe: Mapping[str, Any], runtime: Mapping[str, Any],
    folder: Path, *, seed: int, name: str,
) -> dict[str, Any]:  # fmt: skip
    """Trains the coefficients of ``method``; what was found, and on what. `trajectory.csv` into ``folder``."""
    assert isinstance(method, SelfPositioning), f"{type(method).__name__} has a search of its own"
    prepare(runtime, seed)
    encoder = Encoder.load(base)
    tasks = sorted(probe["objectives"])
    size: int = probe["batch_size"]
    halves = {task: drawn(task, probe["pairs_per_task"], size, seed) for task in tasks}
    searched, held_out = ({task: [row for _, row in halves[task][half]] for task in tasks} for half in (0, 1))

    def batches(rows: dict[str, list[Row]], steps: int) -> Batches:
        plans = plan(rows, dict.fromkeys(tasks, size), steps=steps, seed=seed)
        none = dict.fromkeys(tasks, 0)
        return Batches(plans, rows, {}, encoder, max_length_tokens=probe["max_length_tokens"], num_negatives=none)

    method.start(len(models.experts))
    known = {name for name, _ in encoder.backbone.named_parameters()}
    rows = {name: part for name in models.names if name in known for _, part in models.parts(name, whole=True)}
    if not rows:
        raise ValueError(f"{base}: no tensor of model.safetensors is a parameter of its backbone; save it with its own library")
    module = Positioning(
        method, encoder, rows, total(models.grams())[1:, 1:],
        {task: build(node) for task, node in probe["objectives"].items()},
        list(batches(held_out, min(len(held) for held in held_out.values()) // size * len(tasks))),
        optimizer=probe["optimizer"], lr=probe["lr"],
    )  # fmt: skip
    logs = RUNS / f"merge-{name}"
    shutil.rmtree(logs, ignore_errors=True)
    trainer = pl.Trainer(
        accelerator=runtime["accelerator"], devices=runtime["devices"], max_steps=probe["steps"], max_epochs=1,
        logger=loggers(logs, f"merge-{name}", runtime), log_every_n_steps=1, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, deterministic="warn",
    )  # fmt: skip
    try:
        trainer.fit(module, batches(searched, probe["steps"]))
    finally:
        finish()
        shutil.rmtree(logs, ignore_errors=True)
    method.cpu()
    write_text(folder / "trajectory.csv", curve_text(module.trajectory))
    ids = {
        half: {task: [[corpus, row.query_id, row.document_id] for corpus, row in halves[task][i]] for task in tasks}
        for i, half in enumerate(("search", "held_out"))
    }
    return {"a": method.a.tolist(), "norm": method.norm.item(), "held_out_loss": module.losses, "probe": ids}


def drawn(task: str, pairs: int, batch_size: int, seed: int) -> tuple[list[tuple[str, Row]], list[tuple[str, Row]]]:
    """``(to search on, held out)``: ``pairs`` training rows each, or as many as there are, as (corpus, row). No text twice."""
    rows = [(corpus, row) for corpus, row in read_rows(CURATED, "train", [task]) if _positive(row)]
    random.Random(f"{seed} probe {task}").shuffle(rows)
    kept: list[tuple[str, Row]] = []
    seen: set[str] = set()
    for corpus, row in rows:
        if not seen & {row.query, row.document}:
            kept.append((corpus, row))
            seen |= {row.query, row.document}
        if len(kept) == 2 * pairs:
            break
    half = len(kept) // 2
    if half < batch_size:
        raise ValueError(
            f"the probe of task {task} needs twice {batch_size} training rows that share no text, {CURATED} has {len(kept)}; "
            f"lower merge.probe.batch_size, or take the task out of conf/method/self_positioning.yaml"
        )
    return kept[:half], kept[half : 2 * half]


def _positive(row: Row) -> bool:
    """Graded pairs all teach; of judged ones only those that are relevant."""
    return row.task == "sts" or row.score is None or row.score > 0
