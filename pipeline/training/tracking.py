"""Who is told how a stage went: a CSV file always, W&B as `runtime.tracker` says."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from pipeline.build import CONFIG
from pipeline.checkpoint import sha256

_LAUNCH = "wandb.sdk.launch.inputs.internal"  # what jobs of W&B Launch are given; 1.5 s of each start, and no run here is one


def tracker_mode(choice: str) -> str:
    """``auto``: what WANDB_MODE says, else online only where a key is already there. Never asks, never waits."""
    if choice != "auto":
        return choice
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    import wandb  # heavy, and nobody asks for it where the tracker is disabled

    return "online" if wandb.login(prompt=False, verify=False) else "offline"  # pyright: ignore[reportArgumentType]


def loggers(folder: Path, name: str, runtime: Mapping[str, Any]) -> list[Logger]:
    """CSV in ``folder/version_<n>``, a new one at each start; W&B as run ``name``, below ``wandb/``. `finish` at the end."""
    found: list[Logger] = [CSVLogger(folder, name="", flush_logs_every_n_steps=1)]
    mode = tracker_mode(runtime["tracker"])
    if mode != "disabled":
        import wandb

        sys.modules.setdefault(_LAUNCH, None)  # pyright: ignore[reportArgumentType]  its import fails, which W&B allows for
        settings = wandb.Settings(silent=True, console="off", x_disable_meta=True)  # no path, no git remote
        run = wandb.init(project=runtime["project"], name=name, group=group(), dir=".", mode=mode, settings=settings)  # pyright: ignore[reportArgumentType]
        found.append(WandbLogger(experiment=run))
    return found


def group() -> str | None:
    """Of all stages that one configuration makes; None where there is none."""
    return sha256(CONFIG)[:12] if CONFIG.is_file() else None


def finish() -> None:
    """Close the W&B run, if one is open."""
    if "wandb" in sys.modules:  # else none was opened
        import wandb

        if wandb.run is not None:
            wandb.finish()
