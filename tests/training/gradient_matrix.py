"""python gradient_matrix.py <folder> <cpu or cuda> <devices> <strategies> [faults]: the update of one SGD step of every objective, to
files.

A program, because Lightning starts further processes by running the command again. Imported, it holds the reference too.
"""

import contextlib
import copy
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from pytorch_lightning.strategies import FSDPStrategy
from safetensors.torch import save_file

import pipeline.distributed
import pipeline.gradcache
from pipeline.build import build
from pipeline.distributed import first_process
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.scratch import ScratchBackbone
from pipeline.gradcache import _seed, cut
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import Part, TextBatch
from pipeline.training.fit import _of_one_text
from pipeline.training.strategy import strategy_for
from pipeline.training.trainer import without_gradient

CONF = Path(__file__).parents[2] / "conf"
RATE = 1000.0  # so large that the update is not lost in the rounding of the weights
CHUNK, MODES = 90, {"plain": 10**9, "cached": 0}
POOLINGS = (
    "layer_mix",
    "cls_ordinary",
)  # with one objective: what they train beside the backbone, and their width, are their own
WORDS = ["the cat sat on a mat", "a dog ran in the park", "rolling window over rows", "sum of all numbers"]


def objectives() -> dict[str, Any]:
    """Every YAML of conf/objective; a queue of earlier batches, which a first step has not; and `POOLINGS`, as `infonce+<pooling>`."""
    GlobalHydra.instance().clear()
    found = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for file in sorted((CONF / "objective").glob("*.yaml")):
            composed = compose(overrides=[f"+objective={file.stem}"])["objective"]
            found[file.stem] = build(OmegaConf.to_container(composed, resolve=True))
    found["queue of earlier batches"] = full(copy.deepcopy(found["queue"]))
    return found | {f"infonce+{name}": found["infonce"] for name in POOLINGS}


def full(queue: Any) -> Any:
    """``queue`` with vectors of texts, one of which is in the batch."""
    draw = torch.Generator().manual_seed(5)
    queue.begin(width=16, blocks=3)
    queue.vectors.copy_(torch.nn.functional.normalize(torch.randn(queue.vectors.shape, generator=draw), dim=-1))
    queue.texts.copy_(torch.arange(len(queue.texts)) + 2)
    queue.filled.fill_(len(queue.texts))
    return queue


def pooling_of(name: str) -> str | None:
    """Of an objective's name."""
    return name.partition("+")[2] or None


def encoder(dropout: float, pooling: str | None = None) -> Encoder:
    return copy.deepcopy(_encoder(dropout, pooling))


@functools.cache
def _encoder(dropout: float, pooling: str | None) -> Encoder:
    torch.manual_seed(0)
    scratch = ScratchBackbone(vocabulary=80, width=16, layers=3, heads=2, intermediate=32, dropout=dropout)
    model = scratch([" ".join(WORDS)] * 2)
    node = None
    if pooling:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            node = OmegaConf.to_container(compose(overrides=[f"+pooling={pooling}"])["encoder"]["pooling"], resolve=True)
    made = Encoder(model, pooling=node, max_length_tokens=24)
    with torch.no_grad():  # spread out, so that no gradient is too small to be compared
        for weight in made.parameters():
            weight.mul_(3.0) if weight.ndim > 1 else None
    return made


def batch(made: Encoder) -> TextBatch:
    """Eleven queries, which two processes cannot share evenly; two positives for some, two mined documents for each."""
    draw = torch.Generator().manual_seed(1)
    words = " ".join(WORDS).split()

    def text() -> str:
        length = int(torch.randint(1, 12, (1,), generator=draw)) ** 2 // 8 + 2
        return " ".join(words[i] for i in torch.randint(len(words), (length,), generator=draw).tolist())

    size, second = 11, [0, 3, 4]
    positive = torch.full((size, 2), -1)
    positive[:, 0] = torch.arange(size)
    positive[second, 1] = torch.arange(size, size + len(second))
    mined = size + len(second)
    negative = torch.arange(mined, mined + 2 * size).reshape(size, 2)
    total = mined + 2 * size
    texts = [text() for _ in range(size + total)]
    ids = [torch.tensor(row, dtype=torch.int32) for row in made.token_ids(texts, 24)]
    score = torch.rand(size, generator=draw).mul(6).floor() / 5
    teacher = torch.rand(size, 3, generator=draw)
    hashes = torch.arange(size + total)
    hashes[size + 5], hashes[9] = hashes[size + 2], hashes[size + 1]  # texts that read alike
    pairs = [(0, size + 7), (8, size + 3), (4, 10), (size + 6, size + 8), (2, size + mined + 1)]  # known, on either process
    known = torch.tensor(sorted(pairs + [(b, a) for a, b in pairs]))
    part = Part("task", 0, size, total, positive, negative, known, score, teacher)
    return TextBatch(3, [part], ids, hashes)


def module(made: Encoder, objective: Any, kept: int) -> ContrastiveModule:
    return ContrastiveModule(
        made, {"task": objective}, lambda weights, _: torch.optim.SGD(weights.values(), lr=RATE),
        negatives={"task": "gathered"}, steps=10, warmup_steps=0, seed=7, chunk_tokens=CHUNK, kept_tokens=kept,
        similarities_at_once=200, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip


def reference(
    objective: Any, dropout: float, *, pooling: str | None = None, singly: bool = False, device: str = "cpu"
) -> dict[str, torch.Tensor]:
    """Gradients of the plain loss: every text encoded (without dropout all at once, or one by one), the objective, backward."""
    made = encoder(dropout, pooling)
    ask = module(made, objective, 0).to(device)
    given = ask.transfer_batch_to_device(batch(made), torch.device(device), 0)
    lengths = [len(row) for row in given.ids]
    groups = cut(lengths, CHUNK).texts if dropout else [list(range(len(lengths)))]
    groups = [[i] for i in range(len(lengths))] if singly else groups
    vectors = torch.empty(0)
    for c, group in enumerate(groups):
        torch.manual_seed(_seed(f"7 3 {c}"))
        found = ask._embed([given.ids[i] for i in group])
        vectors = found.new_zeros(len(lengths), found.shape[1]) if not len(vectors) else vectors
        vectors = vectors.index_put((torch.tensor(group, device=device),), found)
    torch.manual_seed(7 * 1_000_003 + 3)
    objective(ask.pairs(given, given.parts[0], vectors.unflatten(1, (-1, made.width)))).backward()
    return {name: p.grad.cpu() for name, p in made.named_parameters() if p.grad is not None}


def difference(gradients: dict[str, torch.Tensor], updates: dict[str, torch.Tensor]) -> float:
    """The worst of all parameters, relative to its norm; one below a thousandth of the whole gradient is relative to that."""
    floor = 1e-3 * torch.stack([g.norm() for g in gradients.values()]).norm().item()
    return max(float((updates[name] - g).norm() / max(g.norm().item(), floor)) for name, g in gradients.items())


def alone(
    objective: Any, kept: int, dropout: float, *, pooling: str | None = None, device: str = "cpu"
) -> dict[str, torch.Tensor]:
    """The gradients of the module in one process, without a trainer."""
    made = encoder(dropout, pooling)
    asked = module(made, copy.deepcopy(objective), kept).to(device)
    asked.loss(asked.transfer_batch_to_device(batch(made), torch.device(device), 0)).backward()
    return {name: p.grad.cpu() for name, p in made.named_parameters() if p.grad is not None}


class CpuFsdp(FSDPStrategy):
    """As it runs over GPUs, but on a CPU: the device that FSDP asks for is given by name."""

    @property
    def root_device(self) -> torch.device:
        return torch.device("cpu")

    def _setup_model(self, model: Any) -> Any:
        from torch.distributed.fsdp import FullyShardedDataParallel

        place = torch.device("cpu")
        return FullyShardedDataParallel(module=model, sharding_strategy=self.sharding_strategy, device_id=place, **self.kwargs)


def strategy_of(runtime: dict[str, Any]) -> Any:
    if runtime["strategy"] != "fsdp" or runtime["accelerator"] != "cpu":
        return strategy_for(runtime)
    with mock.patch("torch.cuda.is_available", return_value=True):
        settings = vars(strategy_for(runtime | {"accelerator": "gpu"}))
    return CpuFsdp(
        sharding_strategy=settings["sharding_strategy"], state_dict_type=settings["_state_dict_type"],
        process_group_backend="gloo", **settings["kwargs"],
    )  # fmt: skip


def step(
    objective: Any, kept: int, dropout: float, strategy: str, devices: int, device: str, *, pooling: str | None = None
) -> dict[str, torch.Tensor]:
    """The gradients that one step took, by parameter; {} on other processes than the first."""
    made = encoder(dropout, pooling)
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    without_gradient(made, lambda: _of_one_text(made))
    runtime = {"strategy": strategy, "accelerator": "gpu" if device == "cuda" else "cpu", "devices": devices, "num_nodes": 1}
    after = After(made, strategy)
    trainer = pl.Trainer(
        accelerator=runtime["accelerator"], devices=devices, strategy=strategy_of(runtime), max_steps=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        callbacks=[after],
    )  # fmt: skip
    given = module(made, copy.deepcopy(objective), kept)  # some have a state, which a step moves
    trainer.fit(given, torch.utils.data.DataLoader([batch(made)], batch_size=None))
    return {name: (value - after.weights[name]) / RATE for name, value in before.items()}


class After(pl.Callback):
    """The weights after the step, put together where a strategy shards them."""

    def __init__(self, made: Encoder, strategy: str) -> None:
        self.made = made
        self.strategy = strategy
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        with self._whole(trainer):
            self.weights = {name: p.detach().cpu().clone() for name, p in self.made.named_parameters()}

    def _whole(self, trainer: pl.Trainer) -> contextlib.AbstractContextManager[Any]:
        if self.strategy == "fsdp":
            from torch.distributed.fsdp import FullyShardedDataParallel

            return FullyShardedDataParallel.summon_full_params(trainer.model)  # pyright: ignore
        if self.strategy != "deepspeed_stage_3":
            return contextlib.nullcontext()
        import deepspeed

        return deepspeed.zero.GatheredParameters(list(self.made.parameters()))


@contextlib.contextmanager
def planted(fault: str) -> Iterator[None]:
    gather, whole = pipeline.distributed._Gather.backward, pipeline.gradcache._seeded
    lost = _seed("7 3 0")

    def unsummed(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad.chunk(pipeline.distributed.num_processes())[pipeline.distributed.process()].contiguous()

    def losing(embed: Any, texts: list[int], number: int, trim: bool) -> torch.Tensor:
        found = whole(embed, texts, number, trim)
        return found * 0 + found.detach() if number == lost else found

    if fault == "scale":  # gathered gradients that are not summed
        pipeline.distributed._Gather.backward = staticmethod(unsummed)  # pyright: ignore
    if fault == "chunk":  # the first chunk's gradient is lost
        pipeline.gradcache._seeded = losing
    if fault == "dropout":  # masks drawn anew when a chunk is computed again
        pipeline.gradcache._seeded = lambda embed, texts, number, trim: embed(texts)
    yield
    pipeline.distributed._Gather.backward, pipeline.gradcache._seeded = staticmethod(gather), whole


def main() -> None:
    folder, device, devices, strategies = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4].split(",")
    faults = sys.argv[5].split(",") if len(sys.argv) > 5 else []
    torch.set_num_threads(1)
    asked = objectives()
    for fault in faults:
        with planted(fault):
            found = {
                f"infonce|cached|{name}": v for name, v in step(asked["infonce"], 0, 0.1, *strategies, devices, device).items()
            }
        if first_process():
            save_file(found, folder / f"{fault}.safetensors")
    for strategy in [] if faults else strategies:
        found = {}
        for name, objective in asked.items():
            for mode, kept in MODES.items():
                updates = step(objective, kept, 0.1, strategy, devices, device, pooling=pooling_of(name))
                found |= {f"{name}|{mode}|{weight}": value.contiguous() for weight, value in updates.items()}
        if first_process():
            save_file(found, folder / f"{strategy}.safetensors")


if __name__ == "__main__":
    main()
