"""Steps for which there is no memory, whose loss jumps, or whose gradient is no number."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

import pipeline.training.fit as fitting
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.spikes import Spikes

GIVEN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("test_fit.py"))))
STEPS = 8
SPIKE = {"policy": "skip", "factor": 5.0, "window": 3}
PROGRESSIVE = yaml.safe_load((Path(__file__).parents[2] / "conf/objective/progressive.yaml").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(tiny_encoder):
    """The weights that a training of eight steps comes to, by name. Its folder stays, as it does until a stage has published."""

    def made(*, of_task=None, runtime=None, **changes):
        encoder = tiny_encoder()
        training = GIVEN.TRAINING | {"steps_per_task": STEPS, "tasks": {"retrieval": GIVEN.TASK | (of_task or {})}} | changes
        fitting.fit(
            encoder, {"retrieval": GIVEN.ROWS}, {}, training, GIVEN.RUNTIME | (runtime or {}), seed=0, name="x", inputs={},
            held_out={}, known={"train": [], "validation": []}, snapshots=None,
        )  # fmt: skip
        return {name: value.clone() for name, value in encoder.state_dict().items()}

    return made


@pytest.fixture
def after(monkeypatch):
    """By step, the weights behind it."""
    found: dict[int, dict[str, torch.Tensor]] = {}
    end = Spikes.on_train_batch_end

    def kept(self, trainer, module, *rest):
        end(self, trainer, module, *rest)
        found[trainer.global_step - 1] = {name: value.detach().clone() for name, value in module.encoder.state_dict().items()}

    monkeypatch.setattr(Spikes, "on_train_batch_end", kept)
    return found


@pytest.fixture
def spoilt(monkeypatch):
    """Multiplies the loss of a batch: ``spoilt(number, factor)``."""
    terms = ContrastiveModule._terms

    def spoil(number, factor):
        monkeypatch.setattr(
            ContrastiveModule, "_terms",
            lambda self, batch, vectors: {
                task: loss * (factor if batch.number == number else 1) for task, loss in terms(self, batch, vectors).items()
            },
        )  # fmt: skip

    return spoil


def equal(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def moved_at(after):
    return [step for step in range(1, STEPS) if not equal(after[step], after[step - 1])]


def fails_backwards(monkeypatch, step, times=1):
    """There is no memory when the gradients of ``step`` are already there."""
    failed = []

    def backward(self, loss):
        loss.backward()
        if self.global_step == step and len(failed) < times:
            failed.append(step)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(ContrastiveModule, "backward", backward)


@pytest.mark.parametrize("of_task", [{}, {"objective": PROGRESSIVE}])
def test_a_step_without_memory_is_taken_again_with_less_and_the_same_result(trained, monkeypatch, capsys, of_task):
    whole = trained(of_task=of_task, runtime={"kept_tokens": 128})
    fails_backwards(monkeypatch, 3, times=2)
    assert equal(trained(of_task=of_task, runtime={"kept_tokens": 128}), whole)
    told = capsys.readouterr().out
    assert (
        "step 3: out of memory; kept_tokens 128 -> 64, which is slower and gives the same result (runtime.kept_tokens)" in told
    )
    assert "step 3: out of memory; kept_tokens 64 -> 0" in told


def test_where_nothing_more_can_be_spared_a_message_says_what_to_do(trained, monkeypatch):
    fails_backwards(monkeypatch, 3, times=9)
    with pytest.raises(ValueError, match="out of memory at step 3, with 64 tokens at once and none kept; lower chunk_tokens"):
        trained()


def test_another_fault_of_a_step_is_no_lack_of_memory(trained, monkeypatch):
    def backward(self, loss):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(ContrastiveModule, "backward", backward)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trained()


def test_a_loss_that_jumps_is_passed_over_or_ends_the_training(trained, spoilt, after, capsys):
    spoilt(5, 1000.0)
    trained(on_spike=SPIKE)
    assert moved_at(after) == [1, 2, 3, 4, 6, 7]
    assert "step 5: the loss of task retrieval is" in (told := capsys.readouterr().out)
    assert "times the median of the last 3; the step is skipped" in told
    with pytest.raises(ValueError, match=r"step 5: the loss of task retrieval .* set on_spike.policy: skip"):
        trained(on_spike=SPIKE | {"policy": "stop"})
    trained()  # without a policy nothing is compared
    assert moved_at(after) == list(range(1, STEPS))


def test_a_training_goes_back_behind_a_spike(trained, spoilt, after, capsys, monkeypatch):
    monkeypatch.setattr(Spikes.__init__, "__kwdefaults__", {"every_steps": 3})
    spoilt(5, 1000.0)
    trained(on_spike=SPIKE | {"policy": "back"})
    assert equal(after[5], after[2])
    assert moved_at(after) == [1, 2, 3, 4, 5, 6, 7]
    assert "the last 3; back to step 3" in capsys.readouterr().out


@pytest.mark.parametrize(("policy", "told"), [("skip", "the step is skipped"), ("back", "back to step 0")])
def test_a_gradient_that_is_no_number_is_told_and_passed_over(trained, spoilt, after, tiny_encoder, capsys, policy, told):
    spoilt(2, float("nan"))
    trained(on_nonfinite=policy)
    assert equal(after[2], tiny_encoder().state_dict() if policy == "back" else after[1])
    assert f"step 2: the gradient is nan; {told}" in capsys.readouterr().out


@pytest.mark.parametrize("policy", ["skip", "back"])
@pytest.mark.parametrize("at", [4, 7])
def test_a_training_that_is_broken_off_around_a_spike_ends_with_the_same_weights(trained, spoilt, monkeypatch, policy, at):
    spoilt(5, 1000.0)
    changes = {"on_spike": SPIKE | {"policy": policy}, "runtime": {"checkpoint_every_steps": 2}}
    whole = trained(**changes, gradient_clip=1.0)
    for folder in Path("data/runs").glob("*"):
        folder.rename(folder.with_name("whole"))
    step = ContrastiveModule.training_step

    def breaking(self, batch, batch_idx):
        if self.global_step == at:
            raise GIVEN.StoppedError
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastiveModule, "training_step", breaking)
        with pytest.raises(GIVEN.StoppedError):
            trained(**changes, gradient_clip=1.0)
    assert equal(trained(**changes, gradient_clip=1.0), whole)


@pytest.mark.parametrize("usual", [0.0, -1.0])
def test_a_loss_is_no_spike_where_the_usual_one_is_not_positive(usual):
    spikes = Spikes(on_nonfinite="stop", spike={"policy": "skip", "factor": 5.0, "window": 3})
    spikes.recent = {"a": [usual] * 3}
    assert spikes._jumped("a", 0.01) == ""  # pyright: ignore[reportPrivateUsage]
    spikes.recent = {"a": [0.001] * 3}
    assert "10.0 times the median" in spikes._jumped("a", 0.01)  # pyright: ignore[reportPrivateUsage]
