"""Steps that fit a budget of minutes, from a few that are timed before the first."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pipeline.checkpoint import read_json, write_json
from pipeline.distributed import encoding_devices, first_process
from pipeline.trainable import num_processes
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import Batches

PLAN = "planned.json"  # in the folder of a training: one that is gone on with keeps its number of steps
TIMED = 3  # batches of each task


def affordable(
    counts: Mapping[str, int],
    module: ContrastiveModule,
    batches: Batches,
    training: Mapping[str, Any],
    runtime: Mapping[str, Any],
    *,
    name: str,
    folder: Path,
) -> dict[str, int]:
    """``counts``, the batches by task, lowered in proportion to what `budget_minutes` hold. ``batches``: `TIMED` of each task, to be timed.

    The first process measures, for all: a step of several takes it as long as its share of the batch. What it finds stands in
    ``folder``, where the others, and a training that goes on, find it. ValueError where not even one batch of each task fits.
    """
    file, minutes = folder / PLAN, training["budget_minutes"]
    if not file.is_file():
        if first_process():
            seconds = {task: one / num_processes(runtime) for task, one in timed(module, batches, training, runtime).items()}
            write_json(file, {"seconds": seconds, "batches": fitting(counts, seconds, minutes, name)})
            _tell(name, minutes, counts, **read_json(file))
        while not file.is_file():
            time.sleep(0.2)
    return read_json(file)["batches"]


def timed(
    module: ContrastiveModule, batches: Batches, training: Mapping[str, Any], runtime: Mapping[str, Any]
) -> dict[str, float]:
    """By task, the median seconds of a step forwards and backwards; the weights stay as they are."""
    devices = encoding_devices(runtime)
    device = devices[0] if devices else torch.device("cpu")
    module.to(device)
    found: dict[str, list[float]] = defaultdict(list)
    for number in [0, *range(len(batches))]:  # the first once more: what is compiled and cached is then there
        batch = module.transfer_batch_to_device(batches.batch(number), device, 0)
        start = time.monotonic()
        with torch.autocast(device.type, torch.bfloat16, enabled=training["precision"] == "bf16-mixed"):
            module.loss(batch).backward()
        if devices:
            torch.cuda.synchronize(device)
        for part in batch.parts:
            found[part.task].append(time.monotonic() - start)
        module.zero_grad(set_to_none=True)
    module.to("cpu")  # where what comes next expects it
    first = next(iter(found))
    return {task: median(spent[1:] if task == first and len(spent) > 1 else spent) for task, spent in found.items()}


def fitting(counts: Mapping[str, int], seconds: Mapping[str, float], minutes: float, name: str) -> dict[str, int]:
    """``counts`` lowered to what takes at most so many minutes."""
    whole = sum(counts[task] * seconds[task] for task in counts)
    share = min(1.0, 60 * minutes / whole)
    if (one := sum(seconds[task] for task in counts)) > 60 * minutes:
        raise ValueError(
            f"{name}.budget_minutes: expected at least {one / 60:.2g} minutes, what one batch of each task takes here "
            f"({', '.join(f'{task} {spent:.2g} s' for task, spent in sorted(seconds.items()))}), got {minutes:g}; raise it, lower "
            f"batch_size, or take another recipe"
        )
    return {task: max(1, int(count * share)) for task, count in counts.items()}


def _tell(
    name: str, minutes: float, counts: Mapping[str, int], *, seconds: Mapping[str, float], batches: Mapping[str, int]
) -> None:
    each = ", ".join(f"{task} {spent:.2f} s" for task, spent in sorted(seconds.items()))
    lasts = sum(batches[task] * seconds[task] for task in batches) / 60
    lowered = "all that were asked for" if dict(counts) == dict(batches) else f"{sum(counts.values())} were asked for"
    print(
        f"{name}: a budget of {minutes:g} minutes; a step takes {each}, so {sum(batches.values())} steps ({lowered}), {lasts:.1f} minutes"
    )


def spread(tasks: Sequence[str]) -> dict[str, int]:
    """How many batches of each task are timed."""
    return dict.fromkeys(tasks, TIMED)
