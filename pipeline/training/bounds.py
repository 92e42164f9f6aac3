"""How long a training is: its epochs, its steps or its minutes, the least of which holds."""

import math
from collections.abc import Mapping
from typing import Any


def batches(training: Mapping[str, Any], num_rows: Mapping[str, int]) -> dict[str, int]:
    """By task how many batches it has, before any budget of minutes: `steps_per_task` where that stands; else what goes `epochs` times
    round its rows, at most `max_steps_per_task`. ``num_rows`` by task.

    With `budget_minutes` alone, as many as fit it, of which this gives the most that may be asked for.
    """
    return {task: _of_task(training, settings["batch_size"], num_rows[task]) for task, settings in training["tasks"].items()}


def _of_task(training: Mapping[str, Any], size: int, rows: int) -> int:
    if training["steps_per_task"] is not None:
        return training["steps_per_task"]
    bounds = [training["max_steps_per_task"]] if training["max_steps_per_task"] is not None else []
    if training["epochs"] is not None:
        bounds.append(max(1, math.ceil(round(training["epochs"] * rows / size, 6))))
    return min(bounds) if bounds else math.ceil(UNBOUNDED_EPOCHS * max(rows, size) / size)


UNBOUNDED_EPOCHS = 1000.0  # of a training that only a budget of minutes ends: more than anybody's rows are worth
