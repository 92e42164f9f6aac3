"""What docs/stopping.md says to type, typed."""

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

KILLED = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("test_killed.py"))))
STEPS = 30  # of each of two tasks
MADE = ("checkpoints/controls/joint/model.safetensors", "data/metrics/train/joint.csv")

pytestmark = pytest.mark.slow


@pytest.fixture
def training(copied):
    """A workspace before the training of `joint`, and the same after it, undisturbed."""

    def made(**runtime):
        changes = {"train": {"joint": {"steps_per_task": STEPS}}} | ({"runtime": runtime} if runtime else {})
        return copied(*KILLED.INPUTS, **changes)

    return made


@pytest.fixture
def page(root):
    return (root / "docs/stopping.md").read_text(encoding="utf-8")


def environment(root, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    return kept | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"} | more


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_the_batch_script_saves_ahead_of_preemption_and_goes_on_when_it_is_started_again(training, root, page, tmp_path):
    (script,) = re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)
    whole = KILLED.moved(training(), "whole")
    KILLED.finish(whole, root, "train", "joint")
    folder, programs = training(), tmp_path / "programs"
    # As DVC does: a program that starts a shell that becomes the stage, and that SIGTERM ends at once.
    started = f"import subprocess, sys; sys.exit(subprocess.call(['bash', '-c', '{sys.executable} -m pipeline train joint']))"
    program(programs, "dvc", f'export DVC_STAGE=train\nexec "{sys.executable}" -c "{started}"')
    program(programs, "scontrol", 'echo "$@" >> queued')
    (folder / "job.sh").write_text(script, encoding="utf-8")
    env = environment(root, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}", SLURM_JOB_ID="7")
    with (folder / "log").open("w") as log:
        job = subprocess.Popen(["bash", "job.sh"], cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    while job.poll() is None and KILLED.last_step(folder) < 10:
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGUSR1)  # Slurm's B: reaches the script alone
    assert job.wait(120) == 0
    assert (folder / "queued").read_text() == "requeue 7\n"
    assert "train stopped by SIGTERM: at step" in (folder / "log").read_text()
    (saved,) = KILLED.saved(folder)
    done = subprocess.run(["bash", "job.sh"], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert saved >= 10
    for file in MADE:
        assert (folder / file).read_bytes() == (whole / file).read_bytes(), file


def test_two_nodes_of_torchrun_end_where_one_process_does(training, root, page):
    (words,) = re.findall(r"^torchrun (.*?)  +#", page, flags=re.MULTILINE)
    whole = KILLED.moved(training(), "whole")
    KILLED.finish(whole, root, "train", "joint")
    folder = training(num_nodes=2)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    nodes = []
    for rank in "01":
        typed = words.replace("HOST", "127.0.0.1").replace("29500", port).replace("--node-rank 0", f"--node-rank {rank}")
        command = [sys.executable, "-m", "torch.distributed.run", *typed.split()]
        with (folder / f"log.{rank}").open("w") as log:
            nodes.append(subprocess.Popen(command, cwd=folder, env=environment(root), stdout=log, stderr=log))
    for rank, node in enumerate(nodes):
        assert node.wait(240) == 0, (folder / f"log.{rank}").read_text()[-3000:]
    assert KILLED.differing(whole, folder) < 1e-5
