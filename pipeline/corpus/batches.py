"""Which rows stand in which batch: one task per batch, no text twice in a batch, drawn from a seed alone.

Single-task batches: Zhang et al. 2025 (CoDiEmb), arXiv:2508.11442; in a mixed batch a document of another task is a negative
that can be told apart by its style. Mixed batches are here to be compared with.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.corpus.row import Row

_MAX_FRUITLESS = 20  # orders of all rows tried before a batch without a common text is given up
_LENGTH_POOL = 16  # batches whose rows are sorted by length together, if that is asked for


@dataclass(frozen=True, slots=True)
class Batch:
    """By task, the rows (indices into the task's), in one group for each query. One task, unless batches are mixed."""

    parts: list[tuple[str, list[list[int]]]]


@dataclass(frozen=True, slots=True)
class Feed:
    """How a task is drawn: ``size`` queries a batch, up to ``num_positives`` documents each, ``turns`` in proportion to those of
    other tasks. ``apart``: no text twice in a batch; otherwise only no row twice, as graded pairs may share texts."""

    size: int
    num_positives: int
    turns: float
    apart: bool


def turns(by: str, temperature: float, num_rows: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, float]:
    """What each task's number of batches is in proportion to.

    ``uniform``: as many of each. ``size``: each row equally often. ``temperature``: the ``temperature``-th root of that, from
    ``size`` (1) to ``uniform`` (infinite).
    """
    power = {"uniform": 0.0, "size": 1.0, "temperature": 1.0 / temperature}[by]
    return {task: (num_rows[task] / sizes[task]) ** power for task in num_rows}


def plan(
    rows: Mapping[str, Sequence[Row]], feeds: Mapping[str, Feed], *, steps: int, seed: int, mixed: bool, by_length: bool
) -> list[Batch]:
    """``steps`` batches; tasks take turns in a shuffled order, or with ``mixed`` stand in each batch together, with as many rows in all.

    A task goes through all its rows in a new random order each time round. ``by_length``: a batch holds rows of like length.
    ValueError where a task cannot fill one batch.
    """
    tasks = sorted(rows)
    counts = _apportioned({task: feeds[task].turns for task in tasks}, steps)
    sizes = {task: [feeds[task].size] * counts[task] for task in tasks}
    if mixed and len(tasks) > 1:
        for task in tasks:
            total = counts[task] * feeds[task].size
            sizes[task] = [(step + 1) * total // steps - step * total // steps for step in range(steps)]
            if min(sizes[task]) < 2:
                raise ValueError(
                    f"task {task}: mixed batches would hold {min(sizes[task])} of its queries, at least 2 are needed to compare; "
                    f"raise batch_size or its weight, or take `batches: single`"
                )
    drawn = {task: iter(_fill(task, rows[task], feeds[task], sizes[task], seed, by_length)) for task in tasks}
    if mixed:
        return [Batch([(task, next(drawn[task])) for task in tasks]) for _ in range(steps)]
    order = [task for task in tasks for _ in range(counts[task])]
    random.Random(f"{seed} turns").shuffle(order)
    return [Batch([(task, next(drawn[task]))]) for task in order]


def _apportioned(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in proportion to ``shares`` that sum to ``total``; the largest remainders are rounded up."""
    whole = sum(shares.values())
    exact = {task: total * share / whole for task, share in shares.items()}
    counts = {task: int(value) for task, value in exact.items()}
    for task in sorted(exact, key=lambda task: (counts[task] - exact[task], task))[: total - sum(counts.values())]:
        counts[task] += 1
    return counts


def _fill(
    task: str, rows: Sequence[Row], feed: Feed, sizes: Sequence[int], seed: int, by_length: bool
) -> list[list[list[int]]]:
    size = max(sizes, default=0)
    _check(task, rows, feed, size)
    batches: list[list[list[int]]] = []
    waiting: list[list[int]] = []
    round_ = fruitless = 0
    while len(batches) < len(sizes):
        draw = random.Random(f"{seed} {task} {round_}")
        order = list(_groups(rows, feed.num_positives, draw))
        draw.shuffle(order)
        waiting.extend(_by_length(rows, order, size, draw) if by_length else order)
        round_ += 1
        before = len(batches)
        while len(batches) < len(sizes) and (batch := _take(rows, waiting, sizes[len(batches)], apart=feed.apart)):
            batches.append(batch)
        if len(batches) == before:  # whatever stands first collides with too many: begin anew with another
            fruitless += 1
            waiting.clear()
            if fruitless == _MAX_FRUITLESS:
                raise ValueError(
                    f"task {task}: found no {size} training rows that share no text in {fruitless} orders; "
                    f"lower batch_size or give it more rows"
                )
    return batches


def _check(task: str, rows: Sequence[Row], feed: Feed, size: int) -> None:
    distinct = min(len({row.query for row in rows}), len({row.document for row in rows}))
    if feed.apart and distinct < size:
        raise ValueError(
            f"task {task}: a batch of {size} needs as many different queries and documents, training rows have {distinct}; "
            f"lower batch_size or give it more rows"
        )
    if len(rows) < size:
        raise ValueError(f"task {task}: a batch of {size} needs as many training rows, there are {len(rows)}; lower batch_size")


def _groups(rows: Sequence[Row], num_positives: int, draw: random.Random) -> Iterator[list[int]]:
    """Rows of one query together, at most ``num_positives`` of them."""
    if num_positives == 1:
        yield from ([i] for i in range(len(rows)))
        return
    of_query: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        of_query.setdefault(row.query_id, []).append(i)
    for own in of_query.values():
        draw.shuffle(own)
        for first in range(0, len(own), num_positives):
            yield own[first : first + num_positives]


def _by_length(rows: Sequence[Row], order: list[list[int]], size: int, draw: random.Random) -> list[list[int]]:
    """``order`` with rows of like length side by side, batch by batch in a random order."""

    def letters(group: list[int]) -> int:
        return sum(len(rows[i].query) + len(rows[i].document) for i in group)

    found: list[list[int]] = []
    for first in range(0, len(order), size * _LENGTH_POOL):
        pool = sorted(order[first : first + size * _LENGTH_POOL], key=letters)
        cut = [pool[at : at + size] for at in range(0, len(pool), size)]
        short = cut.pop() if len(cut[-1]) < size else []
        draw.shuffle(cut)
        found += [group for batch in [*cut, short] for group in batch]
    return found


def _take(rows: Sequence[Row], waiting: list[list[int]], size: int, *, apart: bool) -> list[list[int]]:
    """The first ``size`` different groups of ``waiting``, sharing no text if ``apart``; [] if too few. Others stay for later."""
    chosen: list[list[int]] = []
    taken: set[int] = set()
    seen: set[str] = set()
    passed: list[list[int]] = []
    for position, group in enumerate(waiting):
        texts = {text for i in group for text in (rows[i].query, rows[i].document)}
        if taken.intersection(group) or (apart and texts & seen):
            passed.append(group)
            continue
        seen |= texts
        chosen.append(group)
        taken.update(group)
        if len(chosen) == size:
            waiting[: position + 1] = passed
            return chosen
    return []
