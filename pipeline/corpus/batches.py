"""Which rows stand in which batch: one task per batch, no text twice in a batch, drawn from a seed alone.

Single-task batches: Zhang et al. 2025 (CoDiEmb), arXiv:2508.11442; in a mixed batch a document of another task is a negative
that can be told apart by its style.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.corpus.row import Row

_MAX_FRUITLESS = 20  # orders of all rows tried before a batch without a common text is given up


@dataclass(frozen=True, slots=True)
class Batch:
    task: str
    rows: list[int]  # indices into the task's rows


def plan(rows: Mapping[str, Sequence[Row]], sizes: Mapping[str, int], *, steps: int, seed: int) -> list[Batch]:
    """``steps`` batches; tasks take turns in a shuffled order, each as often as any other (to one batch).

    A task goes through all its rows in a new random order each time round. ValueError where a task cannot fill one batch.
    """
    tasks = sorted(rows)
    turns = [tasks[i % len(tasks)] for i in range(steps)]
    random.Random(f"{seed} turns").shuffle(turns)
    batches = {task: iter(_fill(task, rows[task], sizes[task], turns.count(task), seed)) for task in tasks}
    return [next(batches[task]) for task in turns]


def _fill(task: str, rows: Sequence[Row], size: int, count: int, seed: int) -> list[Batch]:
    distinct = min(len({row.query for row in rows}), len({row.document for row in rows}))
    if distinct < size and task != "sts":
        raise ValueError(
            f"task {task}: a batch of {size} needs as many different queries and documents, training rows have {distinct}; "
            f"lower batch_size or give it more rows"
        )
    if len(rows) < size:
        raise ValueError(f"task {task}: a batch of {size} needs as many training rows, there are {len(rows)}; lower batch_size")
    batches: list[Batch] = []
    waiting: list[int] = []
    round_ = fruitless = 0
    while len(batches) < count:
        order = list(range(len(rows)))
        random.Random(f"{seed} {task} {round_}").shuffle(order)
        waiting.extend(order)
        round_ += 1
        before = len(batches)
        while len(batches) < count and (batch := _take(rows, waiting, size, apart=task != "sts")):
            batches.append(Batch(task, batch))
        if len(batches) == before:  # whatever stands first collides with too many: begin anew with another
            fruitless += 1
            waiting.clear()
            if fruitless == _MAX_FRUITLESS:
                raise ValueError(
                    f"task {task}: found no {size} training rows that share no text in {fruitless} orders; "
                    f"lower batch_size or give it more rows"
                )
    return batches


def _take(rows: Sequence[Row], waiting: list[int], size: int, *, apart: bool) -> list[int]:
    """The first ``size`` different rows of ``waiting``, sharing no text if ``apart``; [] if too few. Rows passed over stay for later."""
    chosen: list[int] = []
    taken: set[int] = set()
    seen: set[str] = set()
    passed: list[int] = []
    for position, index in enumerate(waiting):
        texts = {rows[index].query, rows[index].document}
        if index in taken or (apart and texts & seen):
            passed.append(index)
            continue
        seen |= texts
        chosen.append(index)
        taken.add(index)
        if len(chosen) == size:
            waiting[: position + 1] = passed
            return chosen
    return []
