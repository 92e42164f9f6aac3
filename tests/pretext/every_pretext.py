"""python every_pretext.py <folder> <rank>: the gradients of a batch of every pretext, by one of two processes, to a file.

Imported, it holds the same for one process.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from safetensors.torch import save_file

from pipeline.build import build
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.scratch import ScratchBackbone
from pipeline.params import _register_resolvers

CONF = Path(__file__).resolve().parents[2] / "conf"
TEXTS = [
    "The cat sat. A dog ran.",
    "Rows of all numbers. The sum of rows. A mat",
    "the park",
    "a window. the dog",
    "sum! of. all? rows.",
]
CHUNK = 40


def pretexts() -> dict[str, Any]:
    """Every YAML of conf/pretext, in batches of three."""
    _register_resolvers()
    GlobalHydra.instance().clear()
    found = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for file in sorted((CONF / "pretext").glob("[!_]*.yaml")):
            whole = compose("config", overrides=[f"+pretext@pretrain.phases.one={file.stem}"])
            fit = OmegaConf.to_container(whole.pretrain.phases.one.fit, resolve=True)
            found[file.stem] = fit | {"batch_size": 3}
    return found


def gradients(node: dict[str, Any], kept: int) -> dict[str, torch.Tensor]:
    """Of two batches together, by weight; those that no result depends on are left out."""
    torch.manual_seed(0)
    scratch = ScratchBackbone(vocabulary=80, width=16, layers=2, heads=2, intermediate=32, dropout=0.1)
    encoder = Encoder(scratch(TEXTS * 2), max_length_tokens=24)
    pretext = build(node)
    ids = encoder.token_ids(pretext.pieces(TEXTS), 24)
    data = pretext.batches(ids, encoder, steps=2, seed=0, where="pretrain-x")
    module = pretext.module(
        encoder, optimizer=torch.optim.SGD, steps=2, warmup_steps=0, seed=0, chunk_tokens=CHUNK, kept_tokens=kept, return_memory=False,
        on_nonfinite="stop",
    )  # fmt: skip
    for batch in data:
        module.loss(batch).backward()
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=timedelta(seconds=100))
    found = {}
    for name, node in pretexts().items():
        for weight, value in gradients(node, 0).items():
            dist.all_reduce(value)  # as the strategy: the mean over processes
            found[f"{name}|{weight}"] = value / 2
    if rank == 0:
        save_file(found, folder / "gradients.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
