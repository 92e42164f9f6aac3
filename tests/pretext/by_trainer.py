"""python by_trainer.py <folder> <strategy> <devices>: the update of one SGD step of every pretext by the trainer, to a file.

A program, because Lightning starts further processes by running the command again. Imported, it holds the reference too.
"""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from pipeline.build import build
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.scratch import ScratchBackbone
from pipeline.training.strategy import strategy_for
from pipeline.training.trainer import without_gradient

EVERY = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("every_pretext.py"))))
RATE = 100.0  # so large that the update is not lost in the rounding of the weights


def made(node: dict[str, Any]) -> tuple[Any, Any]:
    """A module and its batch; weights that take no part have no gradient."""
    torch.manual_seed(0)
    scratch = ScratchBackbone(vocabulary=80, width=16, layers=2, heads=2, intermediate=32, dropout=0.1)
    encoder = Encoder(scratch(EVERY.TEXTS * 2), max_length_tokens=24)
    pretext = build(node)
    data = pretext.batches(encoder.token_ids(pretext.pieces(EVERY.TEXTS), 24), encoder, steps=1, seed=0, where="pretrain-x")
    module = pretext.module(
        encoder, optimizer=lambda weights, _: torch.optim.SGD(weights.values(), lr=RATE), steps=1, warmup_steps=0, seed=0,
        chunk_tokens=EVERY.CHUNK, kept_tokens=0, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip
    without_gradient(module, lambda: pretext.sample(module, data))
    return module, data


def reference(node: dict[str, Any]) -> dict[str, torch.Tensor]:
    module, data = made(node)
    module.loss(data.batch(0)).backward()
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


def update(node: dict[str, Any], strategy: str, devices: int) -> dict[str, torch.Tensor]:
    module, data = made(node)
    before = {name: weight.detach().clone() for name, weight in module.named_parameters() if weight.requires_grad}
    runtime = {"strategy": strategy, "accelerator": "cpu", "devices": devices, "num_nodes": 1}
    trainer = pl.Trainer(
        accelerator="cpu", devices=devices, strategy=strategy_for(runtime), max_steps=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, data)
    after = dict(module.named_parameters())
    return {name: (value - after[name].detach()) / RATE for name, value in before.items()}


def main() -> None:
    folder, strategy, devices = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    found = {
        f"{name}|{w}": v.contiguous()
        for name, node in EVERY.pretexts().items()
        for w, v in update(node, strategy, devices).items()
    }
    if first_process():
        save_file(found, folder / "updates.safetensors")


if __name__ == "__main__":
    main()
