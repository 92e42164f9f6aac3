"""What a training would take, measured on its first steps: the same batches, losses and optimizer, then it is broken off."""

import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from pipeline.checkpoint import size_of
from pipeline.training.look import Look
from pipeline.training.resume import remove

WARM = 2  # steps that are not counted: what they compile and allocate is there afterwards
LEAST = 4  # steps of each task that are
ENOUGH_SECONDS = 15.0


class Probed(Exception):  # noqa: N818  no fault: a training that was only tried
    """``found``: see `Probe`."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__("a training was tried")
        self.found = found


class Probe(Callback):
    """Raises `Probed` once `LEAST` steps of each task and `ENOUGH_SECONDS` are measured, or at the last step. It stands in the place of
    what looks at validation rows and of what saves, and tries each of them once. ``found`` holds

    * ``steps``, and by task ``seconds`` of one step; ``began``: `time.monotonic` before the first
    * ``training_seconds``: of all steps, with the looks at validation rows and the checkpoints that fall into them
    * ``peak_mb`` of memory of this process, and ``gpu_mb``
    * ``checkpoint_mb``: of one checkpoint; ``weights_mb``: of the weights
    * ``seen``: by task shares of its rows and of their tokens that stand in any batch; empty where no task is named
    """

    def __init__(self, folder: Path, runtime: Mapping[str, Any], callbacks: Sequence[Callback]) -> None:
        self.folder = folder
        self.looks = [one for one in callbacks if isinstance(one, Look)]
        self.every_steps = runtime["checkpoint_every_steps"]
        self.every_seconds = 60 * runtime["checkpoint_every_minutes"]
        self.spent: dict[str, list[float]] = defaultdict(list)
        self.start = self.first = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = self.first = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        self.spent[named(batch)].append(now - self.start)
        planned = Counter(map(named, plan_of(trainer)))
        enough = all(len(self.spent[task]) >= min(num, LEAST + WARM) for task, num in planned.items())
        if (enough and now - self.first > ENOUGH_SECONDS) or trainer.global_step == trainer.max_steps:
            raise Probed(self.found(trainer, pl_module, planned))
        self.start = time.monotonic()

    def found(self, trainer: pl.Trainer, module: pl.LightningModule, planned: dict[str, int]) -> dict[str, Any]:
        seconds = {task: mean(spent[WARM:] or spent) for task, spent in self.spent.items()}
        steps = sum(planned.values())
        training = sum(num * seconds[task] for task, num in planned.items())
        looks = sum(timed(partial(one.measure, module)) * num_looks(one, steps) for one in self.looks)
        file = self.folder / "probe.ckpt"
        save = timed(partial(trainer.save_checkpoint, file))
        checkpoint = size_of(file)
        remove(file)
        saves = max(steps // self.every_steps, int((training + looks) // self.every_seconds))
        weights = sum(weight.numel() * weight.element_size() for weight in module.parameters())
        gpu = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else 0.0
        return {
            "began": self.first, "steps": steps, "seconds": seconds, "training_seconds": training + looks + saves * save, "gpu_mb": gpu,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "checkpoint_mb": checkpoint / 1e6,
            "weights_mb": weights / 1e6, "seen": shares(plan_of(trainer), trainer),
        }  # fmt: skip


def timed(work: Callable[[], Any]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def num_looks(one: Look, steps: int) -> int:
    return steps // one.every_steps + (one.keep and steps % one.every_steps > 0)


def plan_of(trainer: pl.Trainer) -> Any:
    """One entry for each step."""
    data: Any = trainer.datamodule if trainer.datamodule is not None else trainer.train_dataloader  # pyright: ignore[reportAttributeAccessIssue]
    return getattr(data.batches, "batches", data.batches)


def named(batch: Any) -> str:
    """The tasks of a batch, or of its entry in the plan; empty for a training without tasks."""
    parts = getattr(batch, "parts", ())
    return "+".join(sorted(part.task if hasattr(part, "task") else part[0] for part in parts))


def shares(plan: Any, trainer: pl.Trainer) -> dict[str, dict[str, float]]:
    """By task the shares of its rows and of their tokens that stand in any batch."""
    batches: Any = getattr(trainer.datamodule, "batches", None)  # pyright: ignore[reportAttributeAccessIssue]
    if not hasattr(batches, "reader"):
        return {}
    places: dict[str, set[int]] = defaultdict(set)
    for batch in plan:
        for task, groups in batch.parts:
            places[task].update(row for group in groups for row in group)
    found = {}
    for task, rows in batches.rows.items():
        query = _lengths(batches.reader, task, "query", [row.query for row in rows])
        document = _lengths(batches.reader, task, "document", [row.document for row in rows])
        tokens = [sum(one) for one in zip(query, document, strict=True)]
        found[task] = {
            "rows": len(places[task]) / max(1, len(rows)),
            "tokens": sum(tokens[i] for i in places[task]) / max(1, sum(tokens)),
        }
    return found


def _lengths(reader: Any, task: str, side: str, texts: list[str]) -> list[int]:
    """In tokens, of each of ``texts``, repeated ones too."""
    once = list(dict.fromkeys(texts))
    of_text = dict(zip(once, reader.lengths(task, side, once), strict=True))
    return [of_text[text] for text in texts]
