"""How long a training is."""

import pytest

from pipeline.training.bounds import batches

NONE = {"steps_per_task": None, "epochs": None, "max_steps_per_task": None, "budget_minutes": None}
TASKS = {"tasks": {"search": {"batch_size": 32}, "sts": {"batch_size": 8}}}
ROWS = {"search": 1000, "sts": 80}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 1}, {"search": 32, "sts": 10}),  # 31.25 batches are 32: no row is left out
        ({"epochs": 2.5}, {"search": 79, "sts": 25}),
        ({"epochs": 0.001}, {"search": 1, "sts": 1}),
        ({"epochs": 1, "max_steps_per_task": 20}, {"search": 20, "sts": 10}),
        ({"max_steps_per_task": 20}, {"search": 20, "sts": 20}),
        ({"epochs": 1, "max_steps_per_task": 20, "steps_per_task": 600}, {"search": 600, "sts": 600}),
        ({"epochs": 1, "budget_minutes": 5}, {"search": 32, "sts": 10}),
        ({"budget_minutes": 5}, {"search": 31250, "sts": 10000}),
    ],
)
def test_the_least_of_the_bounds_holds_and_a_number_of_steps_replaces_them(given, expected):
    assert batches(NONE | given | TASKS, ROWS) == expected


def test_a_file_smaller_than_a_batch_has_one_batch_an_epoch():
    assert batches(NONE | {"epochs": 1} | TASKS, {"search": 3, "sts": 0}) == {"search": 1, "sts": 1}
