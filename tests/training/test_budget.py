"""Steps that fit a budget of minutes."""

import json

import pytest

import pipeline.training.budget as budget


def test_batches_are_lowered_in_proportion_to_what_fits():
    assert budget.fitting({"a": 100, "b": 50}, {"a": 1.0, "b": 2.0}, 100 / 60, "train-x") == {"a": 50, "b": 25}
    assert budget.fitting({"a": 100, "b": 50}, {"a": 1.0, "b": 2.0}, 60, "train-x") == {"a": 100, "b": 50}
    assert budget.fitting({"large": 1562, "small": 2}, {"large": 0.5, "small": 0.2}, 5, "train-x") == {"large": 599, "small": 1}


def test_a_budget_too_small_for_one_batch_of_each_task_is_refused():
    with pytest.raises(
        ValueError, match=r"train-x.budget_minutes: expected at least 0.5 minutes, .*a 10 s, b 20 s.* got 0.1; raise it"
    ):
        budget.fitting({"a": 100, "b": 50}, {"a": 10.0, "b": 20.0}, 0.1, "train-x")


def test_what_was_measured_is_told_and_kept_for_a_training_that_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(budget, "timed", lambda *_: {"a": 2.0})
    training, runtime = {"budget_minutes": 1.0}, {"devices": 1, "num_nodes": 1}
    given = {"name": "train-x", "folder": tmp_path / "run"}
    assert budget.affordable({"a": 99}, None, None, training, runtime, **given) == {"a": 30}
    assert (
        "train-x: a budget of 1 minutes; a step takes a 2.00 s, so 30 steps (99 were asked for), 1.0 minutes"
        in capsys.readouterr().out
    )
    monkeypatch.setattr(budget, "timed", lambda *_: pytest.fail("timed again"))
    assert budget.affordable({"a": 99}, None, None, training, runtime, **given) == {"a": 30}
    assert json.loads((tmp_path / "run" / budget.PLAN).read_text())["seconds"] == {"a": 2.0}


def test_several_processes_share_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "timed", lambda *_: {"a": 2.0})
    runtime = {"devices": 2, "num_nodes": 2}
    given = {"name": "train-x", "folder": tmp_path / "run"}
    assert budget.affordable({"a": 999}, None, None, {"budget_minutes": 1.0}, runtime, **given) == {"a": 120}
