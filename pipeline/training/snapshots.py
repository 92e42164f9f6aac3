"""Checkpoints along one training, kept to be merged: an average of the last ones, or of a decaying share of them.

Source: Izmailov et al. 2018, arXiv:1803.05407.
"""

import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy
from safetensors.torch import save_model

from pipeline.distributed import first_process


class Snapshots(Callback):
    """The encoder's weights every ``every_steps``, counted back from the last step, as ``<step>.safetensors``; the ``last`` of these.

    The last step itself is none: that is what the training hands over. A training that is gone on with finds its snapshots again.
    """

    def __init__(self, folder: Path, *, every_steps: int, last: int) -> None:
        self.folder = folder
        self.every_steps = every_steps
        self.last = last

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, (DeepSpeedStrategy, FSDPStrategy)):
            raise ValueError(
                "snapshots are kept where each process holds all weights; set runtime.strategy to auto or ddp, or snapshots to null"
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if first_process() and trainer.ckpt_path is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        step = trainer.global_step
        if not first_process() or step == trainer.max_steps or (trainer.max_steps - step) % self.every_steps:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{step}.partial"
        save_model(pl_module.encoder, str(partial))  # pyright: ignore[reportArgumentType]
        partial.replace(self.folder / f"{step}.safetensors")
        for old in self.files()[: -self.last]:
            old.unlink()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if first_process():  # of a training that ended early
            (self.folder / f"{trainer.global_step}.safetensors").unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("[0-9]*.safetensors"), key=lambda file: int(file.stem))
