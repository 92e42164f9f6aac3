"""Seeds, threads and deterministic kernels: the first thing a stage with a model does."""

import logging
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch


def prepare(runtime: Mapping[str, Any], seed: int) -> None:
    """Seeds, threads and deterministic kernels, before anything is built."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # tips and device lists
    pl.seed_everything(seed, workers=True, verbose=False)
    if runtime["threads"]:
        torch.set_num_threads(runtime["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
