"""A training that is asked to stop, and one whose checkpoints are damaged."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import stopping
from pipeline.training.contrastive import ContrastiveModule

INPUTS = ("checkpoints/base", "data/curated", "data/mined", "data/config.yaml")
MADE = ("checkpoints/controls/joint/model.safetensors", "data/metrics/train/joint.csv")
STEPS = 8


@pytest.fixture
def listening(monkeypatch):
    """This process hears signals as `python -m pipeline` does."""
    before = {one: signal.getsignal(one) for one in (*stopping.SIGNALS, signal.SIGALRM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
    monkeypatch.setattr(stopping, "_state", {"put_off": False, "asked": None, "process": None})
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    stopping.listen()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.fixture
def steps(monkeypatch):
    """The steps that were trained; ``steps.at`` may hold what is done within one of them."""
    step = ContrastiveModule.training_step

    class Steps(list):
        at: dict = {}  # noqa: RUF012

    done = Steps()

    def traced(self, batch, batch_idx):
        done.append(self.global_step)
        done.at.get(self.global_step, lambda: None)()
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ContrastiveModule, "training_step", traced)
    return done


def equal(folder: Path, finished: Path) -> bool:
    return all((folder / file).read_bytes() == (finished / file).read_bytes() for file in MADE)


def kept(folder: Path) -> list[int]:
    return sorted(int(file.name.split("-")[0]) for file in folder.glob("data/runs/train-joint-*/*.ckpt"))


@pytest.mark.parametrize(("signum", "name", "status"), [
    (signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143), (signal.SIGUSR1, "SIGUSR1", 138)
])  # fmt: skip
def test_a_training_that_is_asked_to_stop_saves_its_step_and_repeats_none(
    copied, run, finished, steps, listening, capsys, signum, name, status
):
    folder = copied(*INPUTS)
    steps.at = {4: lambda: os.kill(os.getpid(), signum)}
    assert run(folder, "train", "joint") == status
    told = capsys.readouterr().err
    assert f"train stopped by {name}: at step 5 of {STEPS}, which is saved; the same command goes on from there" in told
    assert "Traceback" not in told
    assert not (folder / "checkpoints/controls/joint").exists()
    steps.at = {}
    stopping.take_over()
    assert run(folder, "train", "joint") == 0
    assert steps == list(range(STEPS))
    assert equal(folder, finished)


def test_a_stop_at_the_last_step_lets_the_training_be_handed_over(copied, run, finished, steps, listening):
    folder = copied(*INPUTS)
    steps.at = {STEPS - 1: lambda: os.kill(os.getpid(), signal.SIGTERM)}
    assert run(folder, "train", "joint") == 0
    assert equal(folder, finished)


def test_a_step_that_takes_too_long_is_given_up(copied, run, steps, listening, capsys, monkeypatch):
    monkeypatch.setattr(stopping, "PATIENCE_SECONDS", 0.1)
    folder = copied(*INPUTS, runtime={"checkpoint_every_steps": 2})

    def wait():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 60)

    steps.at = {3: wait}
    assert run(folder, "train", "joint") == 143
    assert "the step under way took more than 0 s and is given up" in capsys.readouterr().err
    assert kept(folder) == [2]


def test_a_second_signal_stops_at_once(listening):
    with stopping.put_off():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.asked() == signal.SIGTERM
        with pytest.raises(stopping.Stopped, match="stopped by SIGTERM: nothing half-made"):
            os.kill(os.getpid(), signal.SIGTERM)


def test_what_is_asked_at_the_end_of_one_training_stops_the_next_before_it_begins(listening):
    with stopping.put_off():
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(stopping.Stopped, match="stopped by Ctrl-C"), stopping.put_off():
        raise AssertionError("it has begun")


def test_a_signal_that_python_would_only_print_ends_the_program(root):
    """One that arrives in a finaliser."""
    text = """
import os, signal
from pipeline.stopping import listen
class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        "".join(map(str, range(10)))
listen()
last = Last()
del last
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", text], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr.strip().startswith("stopped by SIGTERM")
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a process hears of the end of its parent on Linux alone")
def test_a_stage_whose_dvc_is_killed_stops_by_itself(root, tmp_path):
    stage = f"""
import time
from pathlib import Path
from pipeline.stopping import Stopped, listen
try:
    listen()
    Path({str(tmp_path / "began")!r}).touch()
    time.sleep(60)
except Stopped as stopped:
    Path({str(tmp_path / "status")!r}).write_text(str(stopped.status))
    Path({str(tmp_path / "status")!r}).rename({str(tmp_path / "stopped")!r})
"""
    dvc = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stage!r}])"
    process = subprocess.Popen([sys.executable, "-c", dvc], cwd=root, env=os.environ | {"DVC_STAGE": "train@joint"})
    for path, then in ((tmp_path / "began", process.kill), (tmp_path / "stopped", process.wait)):
        end = time.monotonic() + 30
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.01)
        then()
    assert (tmp_path / "stopped").read_text() == "143"


def test_a_stage_that_trains_nothing_stops_at_once(copied, run, listening, capsys, monkeypatch):
    folder = copied("data/raw", "data/config.yaml")
    monkeypatch.setattr("pipeline.stage.curate.run", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert run(folder, "curate") == 130
    assert "curate stopped by Ctrl-C: nothing half-made is left; the same command does it again" in capsys.readouterr().err


def test_checkpoints_are_kept_two_deep_and_by_time_too(copied, run, steps):
    def broken():
        raise RuntimeError("power cut")

    folder = copied(*INPUTS, runtime={"checkpoint_every_steps": 100, "checkpoint_every_minutes": 1e-9})
    steps.at = {6: broken}
    with pytest.raises(RuntimeError, match="power cut"):
        run(folder, "train", "joint")
    assert kept(folder) == [5, 6]


@pytest.mark.parametrize(("damaged", "goes_on"), [([6], 4), ([4], 6), ([4, 6], 0)])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(copied, run, finished, steps, capsys, damaged, goes_on):
    def broken():
        raise RuntimeError("power cut")

    folder = copied(*INPUTS, runtime={"checkpoint_every_steps": 2})
    steps.at = {7: broken}
    with pytest.raises(RuntimeError, match="power cut"):
        run(folder, "train", "joint")
    assert kept(folder) == [4, 6]
    for number in damaged:
        (file,) = folder.glob(f"data/runs/train-joint-*/{number}-*.ckpt")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content if number == 6 else content[: len(content) // 2])
    steps.clear()
    steps.at = {}
    assert run(folder, "train", "joint") == 0
    assert steps == list(range(goes_on, STEPS))
    told = capsys.readouterr().err
    for number in damaged[-1:] if goes_on != 6 else ():
        assert f"/{number}-" in told
        assert "is damaged: its bytes have not the hash in its name" in told
    assert equal(folder, finished)


def test_what_a_training_goes_on_from_is_removed_behind_its_publication(copied, run, finished, steps, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "model.safetensors")

    folder = copied(*INPUTS, runtime={"checkpoint_every_steps": 2})
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.encoder.encoder.Encoder.save", full)
        assert run(folder, "train", "joint") == 1
    assert kept(folder) == [4, 6]
    steps.clear()
    assert run(folder, "train", "joint") == 0
    assert steps == [6, 7]
    assert equal(folder, finished)
    assert list((folder / "data/runs").iterdir()) == []
    shutil.rmtree(folder)
