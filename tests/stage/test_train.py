import csv
import shutil
from collections import Counter
from dataclasses import replace

import pytest
import yaml
from safetensors.torch import load_file

from pipeline.corpus.files import read, write
from pipeline.corpus.row import Row

INPUTS = ("checkpoints/base", "data/curated", "data/mined", "data/config.yaml")


def points(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("expert", ["checkpoints/experts/retrieval", "checkpoints/experts/sts", "checkpoints/controls/joint"])
def test_an_expert_is_the_base_moved_by_training(finished, expert):
    base, trained = (load_file(finished / folder / "model.safetensors") for folder in ("checkpoints/base", expert))
    assert {key: tensor.shape for key, tensor in trained.items()} == {key: tensor.shape for key, tensor in base.items()}
    moved = [key for key in base if not base[key].equal(trained[key])]
    assert "embeddings.word_embeddings.weight" in moved
    assert max((base[key] - trained[key]).abs().max() for key in moved) < 0.01  # a few steps of 5e-4


def test_the_curve_has_a_point_per_step_and_a_loss_per_task(finished):
    sts, joint = (points(finished / f"data/metrics/train/{name}.csv") for name in ("sts", "joint"))
    assert [point["step"] for point in sts] == ["0", "1", "2", "3"]
    assert all(point["loss"] == point["loss/sts"] for point in sts)
    turns = Counter(task for point in joint for task in ("sts", "retrieval") if point[f"loss/{task}"])
    assert turns == {"sts": 4, "retrieval": 4}  # as many batches of each as the experts had


def test_nothing_to_resume_is_left(finished):
    assert [path for path in (finished / "data").glob("runs/*")] == []  # noqa: C416


def test_an_unknown_expert_is_told_with_the_known_ones(copied, run, capsys):
    folder = copied("data/config.yaml")
    assert run(folder, "train", "nobody") == 1
    assert "train needs one expert of joint, retrieval, sts; got 'nobody'; see params.yaml" in capsys.readouterr().err
    assert run(folder, "train") == 1
    assert "got None" in capsys.readouterr().err
    assert not (folder / "checkpoints").exists()


def test_pairs_without_a_score_are_refused_before_the_first_step(copied, run, capsys):
    folder = copied(*INPUTS)
    file = folder / "data/curated/graded/train.parquet"
    write(file, Row, [replace(row, score=None) for row in read(file, Row)])
    assert run(folder, "train", "sts") == 1
    assert "task sts: CoSENT needs a score on every row, 49 of 49 have none" in capsys.readouterr().err
    assert not (folder / "checkpoints/experts").exists()
    assert not (folder / "data/runs").exists()
    assert list(folder.rglob("*.partial")) == []


def test_a_batch_larger_than_the_rows_is_refused_before_the_first_step(copied, run, capsys):
    folder = copied(*INPUTS, train={"sts": {"tasks": {"sts": {"batch_size": 50}}}})
    assert run(folder, "train", "sts") == 1
    assert "task sts: a batch of 50 needs as many training rows, there are 49; lower batch_size" in capsys.readouterr().err
    assert not (folder / "checkpoints/experts").exists()


def test_a_value_that_a_part_refuses_is_told_in_its_words(copied, run, capsys):
    folder = copied(*INPUTS, train={"sts": {"tasks": {"sts": {"objective": {"scale": -1.0}}}}})
    assert run(folder, "train", "sts") == 1
    assert "scale must be positive, got -1.0; see conf/objective/cosent.yaml" in capsys.readouterr().err


def test_a_training_that_was_stopped_goes_on_to_the_same_end(finished, copied, run, monkeypatch):
    """Stopped after the third of four steps, the last checkpoint being of the second."""
    from pipeline.training.contrastive import ContrastiveModule

    folder = copied(*INPUTS, runtime={"checkpoint_every_steps": 2})
    step = ContrastiveModule.training_step

    def stopping(self, batch, batch_idx):
        if self.global_step == 3:
            raise RuntimeError("stopped")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastiveModule, "training_step", stopping)
        with pytest.raises(RuntimeError, match="stopped"):
            run(folder, "train", "joint")
    assert not (folder / "checkpoints/controls/joint").exists()
    assert len(list(folder.glob("data/runs/train-joint-*/[0-9]*.ckpt"))) == 1
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(
            ContrastiveModule, "training_step", lambda self, *batch: steps.append(self.global_step) or step(self, *batch)
        )
        assert run(folder, "train", "joint") == 0
    assert steps == [2, 3, 4, 5, 6, 7]
    for file in ("checkpoints/controls/joint/model.safetensors", "data/metrics/train/joint.csv"):
        assert (folder / file).read_bytes() == (finished / file).read_bytes(), file
    assert list((folder / "data/runs").iterdir()) == []


def test_a_training_ends_early_where_validation_rows_gain_nothing(copied, run, finished):
    stop = {"every_steps": 1, "patience": 2, "batches_per_task": 2}
    tasks = {"sts": {"batch_size": 8}}
    folder = copied(*INPUTS, train={"sts": {"early_stop": stop, "steps_per_task": 9, "optimizer": {"lr": 0.0}, "tasks": tasks}})
    assert run(folder, "train", "sts") == 0
    assert len(points(folder / "data/metrics/train/sts.csv")) == 3  # the first look is the best there is


def test_an_early_stop_without_enough_validation_rows_is_refused_before_the_first_step(copied, run, capsys):
    stop = {"every_steps": 1, "patience": 2, "batches_per_task": 2}
    folder = copied(*INPUTS, train={"sts": {"early_stop": stop, "tasks": {"sts": {"batch_size": 40}}}})
    assert run(folder, "train", "sts") == 1
    assert "early_stop, on validation rows: task sts: a batch of 40 needs" in capsys.readouterr().err


def test_the_best_weights_by_the_tasks_own_score_are_kept_not_the_last(copied, run, monkeypatch):
    folder = copied(*INPUTS, train={"sts": {"best": {"looks": 4, "rows_per_task": 20}}})
    worse = iter([0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr("pipeline.training.own_score.OwnScore.__call__", lambda self, encoder: next(worse))
    assert run(folder, "train", "sts") == 0
    assert list(worse) == []
    kept = load_file(folder / "checkpoints/experts/sts/model.safetensors")
    config = yaml.safe_load((folder / "data/config.yaml").read_text())
    config["train"]["sts"]["best"] = None
    (folder / "data/config.yaml").write_text(yaml.safe_dump(config))
    shutil.rmtree(folder / "checkpoints/experts")
    assert run(folder, "train", "sts") == 0
    last = load_file(folder / "checkpoints/experts/sts/model.safetensors")
    assert len(points(folder / "data/metrics/train/sts.csv")) == 4
    assert any(not kept[name].equal(last[name]) for name in kept)


def test_a_budget_is_told_before_and_after_and_a_number_of_steps_that_fits_is_taken(copied, run, capsys):
    folder = copied(*INPUTS, train={"sts": {"budget_minutes": 9, "steps_per_task": 3}})
    assert run(folder, "train", "sts") == 0
    out = capsys.readouterr().out
    assert "train-sts: a budget of 9 minutes; a step takes sts" in out
    assert "so 3 steps (all that were asked for)" in out
    assert "train-sts: 3 steps in 0.0 minutes; task sts: 24 of 49 rows seen" in out
    assert list((folder / "data/runs").iterdir()) == []


def test_a_budget_that_holds_no_step_is_refused_and_nothing_is_left(copied, run, capsys):
    folder = copied(*INPUTS, train={"sts": {"budget_minutes": 1.0e-9}})
    assert run(folder, "train", "sts") == 1
    assert "train-sts.budget_minutes: expected at least" in capsys.readouterr().err
    assert not (folder / "checkpoints/experts").exists()


def test_an_early_stop_and_the_best_weights_go_together_and_what_was_done_is_told(copied, run, capsys):
    stop = {"every_steps": 1, "patience": 2, "batches_per_task": 2}
    asked = {"early_stop": stop, "best": {"looks": 4, "rows_per_task": 20}, "steps_per_task": 9, "optimizer": {"lr": 0.0}}
    folder = copied(*INPUTS, train={"sts": asked | {"tasks": {"sts": {"batch_size": 8}}}})
    assert run(folder, "train", "sts") == 0
    assert "train-sts: 3 steps in 0.0 minutes; task sts: 24 of 49 rows seen" in capsys.readouterr().out
