"""The search for coefficients: a few numbers, trained on a probe.

A step places ``base + sum c_k delta_k`` in the encoder, takes an ordinary gradient of the loss and its inner products with the task
vectors; the chain rule through the small graph of ``c`` does the rest. Each process of several averages its gradients with the
others', as in any training.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.delta import Grams, Models
from pipeline.distributed import first_process, mean_of
from pipeline.merging.method import Method, Searched
from pipeline.probing.landscape import Landscape, survey
from pipeline.probing.trial import Trial, trial
from pipeline.training.data import TextBatch
from pipeline.training.prepare import prepare
from pipeline.training.strategy import strategy_for
from pipeline.training.tracking import finish, loggers
from pipeline.training.trainer import RUNS, curve_text

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class Positioning(pl.LightningModule):
    """Its parameters are the method's: a few for each expert."""

    def __init__(self, method: Searched, trial: Trial, grams: Grams, *, optimizer: str, lr: float, relative: bool) -> None:
        super().__init__()
        self.method = method
        self.trial = trial  # no module: none of its weights are this module's parameters
        self.grams = dict(grams)
        self.optimizer = optimizer
        self.lr = lr
        self.relative = relative
        self.trajectory: list[dict[str, Any]] = []
        self.losses: dict[str, dict[str, float]] = {}  # of the held-out half, by task, at the start and at what was found
        self.began: dict[str, Tensor] = {}  # coefficients
        self.ended: dict[str, Tensor] = {}

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        c = self.method.effective(self.grams)
        loss, along = self.trial.along(batch, {name: value.detach() for name, value in c.items()})
        task = batch.parts[0].task
        if not torch.isfinite(loss):
            raise ValueError(f"the probe loss of task {task} is {loss.item()} at step {self.global_step}; lower probe.lr")
        mean = torch.stack(list(c.values())).detach().mean(0)
        numbers = self.method.numbers() | {f"coefficient/{k}": float(v) for k, v in enumerate(mean)}
        value = float(mean_of(loss))
        point = numbers | {"loss": value, f"loss/{task}": value}
        self.trajectory.append({"step": self.global_step, **point})
        for logger in self.loggers:
            logger.log_metrics(point, step=self.global_step)
        if "all" in c:
            along = {"all": torch.stack([p.to(c["all"]) for p in along.values()]).sum(0)}
        slope = torch.stack(
            [((c[n] - c[n].detach()) * p.to(c[n])).sum() for n, p in along.items()]
        ).sum()  # 0, but its gradient
        return loss + self.method.cost() + slope

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return OPTIMIZERS[self.optimizer](self.method.parameters(), lr=self.lr)

    def on_fit_start(self) -> None:
        self.trial.to(self.device)
        self.grams = {name: gram.to(self.device) for name, gram in self.grams.items()}

    def on_train_start(self) -> None:
        if self.relative:
            self.trial.relate()
        self.began = self._now()
        self.losses["start"] = self.trial.losses(self.began, half="held_out")

    def on_train_end(self) -> None:
        self.ended = self._now()
        self.losses["found"] = self.trial.losses(self.ended, half="held_out")

    @torch.no_grad()
    def _now(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.method.effective(self.grams).items()}


def _trainer(runtime: Mapping[str, Any], steps: int, logger: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator=runtime["accelerator"],
        devices=runtime["devices"],
        num_nodes=runtime["num_nodes"],
        strategy=strategy_for(runtime),
        max_steps=steps,
        max_epochs=1,
        logger=logger,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic="warn",
    )


def search(
    method: Method, base: Path, models: Models, probe: Mapping[str, Any], runtime: Mapping[str, Any], *, seed: int, name: str
) -> tuple[dict[str, Any], dict[str, str], Landscape | None]:
    """Trains the coefficients of ``method``, or lets it look; what was found and on what, tables by file name, and a picture."""
    if isinstance(method, Searched) and runtime["strategy"].startswith(("fsdp", "deepspeed_stage_3")):
        raise ValueError(
            f"runtime.strategy is {runtime['strategy']}, which takes weights apart; a search holds base and task vectors whole on "
            f"every process and has but a few parameters: take ddp, deepspeed_stage_1 or deepspeed_stage_2 for merge {name}"
        )
    prepare(runtime, seed)
    steps = probe["steps"] if isinstance(method, Searched) else None
    tried, ids = trial(base, models, probe, runtime, steps=steps, seed=seed)
    if not isinstance(method, Searched):
        tried.to(pl.Trainer(accelerator=runtime["accelerator"], devices=1, logger=False).strategy.root_device)
        if probe["relative"]:
            tried.relate()
        method.look(tried)
        return {"probe": ids, "base_loss": tried.scale, **method.seen()}, {}, None
    method.start(len(models.experts), models.names)
    module = Positioning(
        method, tried, models.grams(), optimizer=probe["optimizer"], lr=probe["lr"], relative=probe["relative"]
    )
    logs = RUNS / f"merge-{name}"
    if first_process():
        shutil.rmtree(logs, ignore_errors=True)
    trainer = _trainer(runtime, probe["steps"], loggers(logs, f"merge-{name}", runtime) if first_process() else False)
    try:
        trainer.fit(module, DataLoader(list(tried.batches["search"]), batch_size=None))  # pyright: ignore[reportArgumentType]
        picture = survey(tried, module.began, module.ended, probe["landscape"])
        if picture is not None:
            for logger in trainer.loggers:
                _shown(logger, picture, logs)
    finally:
        finish()
        if first_process():
            shutil.rmtree(logs, ignore_errors=True)
    method.cpu()
    tables = {"trajectory.csv": curve_text(module.trajectory)} | ({"landscape.csv": picture.table()} if picture else {})
    return {**method.numbers(), "held_out_loss": module.losses, "base_loss": tried.scale, "probe": ids}, tables, picture


def _shown(logger: Any, picture: Landscape, folder: Path) -> None:
    if hasattr(logger, "log_image"):
        folder.mkdir(parents=True, exist_ok=True)
        picture.draw(folder / "landscape.png")
        logger.log_image("landscape", [str(folder / "landscape.png")])
