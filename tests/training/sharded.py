"""What one step does where two processes hold the weights in parts: which are decayed, and how far a gradient is clipped.

A program beside a test: ``sharded.py folder rank port strategy`` is one of two processes.
"""

import json
import os
import runpy
import socket
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from pipeline.training.fit import _of_one_text
from pipeline.training.optimizer import adamw
from pipeline.training.resume import Resumable
from pipeline.training.trainer import without_gradient

MATRIX = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("gradient_matrix.py"))))
RATE, DECAY, CLIP = 0.1, 0.5, 0.25


class Still(nn.Module):
    """An objective that asks for nothing: gradients are 0."""

    needs_slow = False

    def forward(self, pairs: Any) -> torch.Tensor:
        return (pairs.query.sum() + pairs.document.sum()) * 0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def join(rank: int, port: int) -> None:
    warnings.simplefilter("ignore")  # DeepSpeed's
    torch.set_num_threads(1)
    os.environ |= {
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
    }


def stepped(strategy: str, objective: Any, optimizer: Any, clip: float, devices: int) -> tuple[dict, dict, float | None]:
    """Weights before and after a step of the trainer, and the norm of the gradient that it told."""
    made = MATRIX.encoder(0.0)
    before = {name: weight.detach().clone() for name, weight in made.named_parameters()}
    without_gradient(made, lambda: _of_one_text(made))
    module = MATRIX.module(made, objective, 0)
    module.make_optimizer = optimizer
    after, kept = MATRIX.After(made, strategy), Resumable(Path("none"), every_steps=100, every_minutes=100)
    runtime = {"strategy": strategy, "accelerator": "cpu", "devices": devices, "num_nodes": 1}
    trainer = pl.Trainer(
        accelerator="cpu", devices=devices, strategy=MATRIX.strategy_of(runtime), max_steps=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, gradient_clip_val=clip,
        callbacks=[after, kept],
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader([MATRIX.batch(made)], batch_size=None))
    if kept.whole is not None:  # what a training under FSDP hands over
        assert {name: value.tolist() for name, value in kept.whole.items()} == {
            f"encoder.{name}": value.tolist() for name, value in after.weights.items()
        }
    return before, after.weights, module.gradient_norm


def decayed(strategy: str, devices: int = 1) -> dict[str, bool]:
    """By weight, whether a step without a gradient takes its share of it. No weight changes otherwise."""
    before, after, _ = stepped(
        strategy, Still(), lambda weights, names: adamw(weights, names, lr=RATE, weight_decay=DECAY, betas=[0.9, 0.99], layer_decay=1.0),
        CLIP, devices
    )  # fmt: skip
    found = {}
    for name, value in before.items():
        found[name] = not torch.equal(after[name], value)
        torch.testing.assert_close(after[name], value * (1 - RATE * DECAY) if found[name] else value)
    return found


def clipped(strategy: str, devices: int = 1) -> dict[str, Any]:
    """The norm that a training tells, and what a step of SGD at rate 1 took from each weight, clipped to `CLIP`."""
    objective = MATRIX.objectives()["infonce"]
    before, after, norm = stepped(
        strategy, objective, lambda weights, _: torch.optim.SGD(weights.values(), lr=1.0), CLIP, devices
    )
    return {"norm": norm, "taken": {name: (value - after[name]).tolist() for name, value in before.items()}}


def run(folder: Path, rank: int, port: int, strategy: str) -> None:
    join(rank, port)
    found = {"decayed": decayed(strategy, 2), "clipped": clipped(strategy, 2)}
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
