"""Hydra's own --multirun on a stage: `python -m pipeline <stage> ... --multirun key=a,b`."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.build import load


def content(folder):
    return {
        path: path.read_bytes() for part in ("data", "checkpoints") for path in (folder / part).rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def sweep(finished, root, tmp_path_factory):
    """Runs a stage under Hydra in a copy of the finished workspace; the jobs' folders, in the order of the sweep."""
    folder = tmp_path_factory.mktemp("sweep") / "workspace"
    shutil.copytree(finished, folder)

    def swept(*words):
        before, known = content(folder), set(folder.glob("multirun/*/*/*"))
        command = [sys.executable, "-m", "pipeline", *words]
        environment = os.environ | {"PYTHONPATH": str(root)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert content(folder) == before, "a sweep writes below multirun/ only"
        return sorted(path for path in set(folder.glob("multirun/*/*/*")) - known if path.is_dir())

    return swept


def test_a_sweep_over_a_rate_trains_one_expert_for_each(finished, sweep):
    jobs = sweep("train", "expert=sts", "--multirun", "train.optimizer.lr=1e-5,5e-4")
    assert [load(job / "config.yaml")["train"]["sts"]["optimizer"]["lr"] for job in jobs] == [1e-5, 5e-4]
    losses = [json.loads((job / "metrics.json").read_text())["loss"] for job in jobs]
    assert losses[0] != losses[1]
    # The second job is what data/config.yaml says, so it must give what the stage gave, byte by byte.
    for file in ("checkpoints/experts/sts/model.safetensors", "data/metrics/train/sts.csv"):
        assert (jobs[1] / file).read_bytes() == (finished / file).read_bytes()
        assert (jobs[0] / file).read_bytes() != (finished / file).read_bytes()


@pytest.mark.slow
def test_a_sweep_over_experts_gives_each_its_own_values_of_params_yaml(finished, sweep):
    jobs = sweep("train", "--multirun", "expert=sts,retrieval")
    known = load(finished / "data/config.yaml")["train"]
    assert [load(job / "config.yaml")["train"] for job in jobs] == [{name: known[name]} for name in ("sts", "retrieval")]
    for job, name in zip(jobs, ("sts", "retrieval"), strict=True):
        file = f"checkpoints/experts/{name}/model.safetensors"
        assert (job / file).read_bytes() == (finished / file).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["merge", "merging=slerp", "merge.method.norm=1.0,0.5"], "checkpoints/merged/slerp/model.safetensors"),
        (["evaluate", "base", "evaluate.resamples=50,60"], "data/metrics/evaluate/base.json"),
        (["mine", "mine.miner.depth=30,10"], "data/mined/questions.parquet"),
        (["report", "report.examples=3,0"], "data/report/index.html"),
    ],
)
def test_every_kind_of_stage_can_be_swept(finished, sweep, words, file):
    jobs = sweep(*words, "--multirun")
    assert (jobs[0] / file).read_bytes() == (finished / file).read_bytes()
    assert (jobs[1] / file).read_bytes() != (finished / file).read_bytes()


@pytest.mark.slow
def test_a_baseline_can_be_swept(finished, sweep):
    """Its scores on so few rows are 1 whatever its values are."""
    jobs = sweep("baseline", "bm25", "baseline.k1=0.9,0.1", "--multirun")
    assert [load(job / "config.yaml")["baseline"]["bm25"]["k1"] for job in jobs] == [0.9, 0.1]
    file = "data/metrics/evaluate/bm25.json"
    assert (jobs[0] / file).read_bytes() == (finished / file).read_bytes()


@pytest.mark.slow
def test_a_sweep_that_is_killed_three_times_computes_each_point_once(finished, root, tmp_path):
    folder = Path(shutil.copytree(finished, tmp_path / "workspace"))
    points = [round(0.05 * i, 2) for i in range(1, 13)]
    words = ["merge", "merging=slerp", f"merge.method.norm={','.join(map(str, points))}", "--multirun"]
    command = [sys.executable, "-m", "pipeline", *words]
    environment = os.environ | {"PYTHONPATH": str(root)}
    draw = random.Random(0)

    def results():
        return list(folder.glob("multirun/results/merge-*.json"))

    for ended, signum in ((2, signal.SIGKILL), (5, signal.SIGTERM), (8, signal.SIGKILL)):
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        while process.poll() is None and len(results()) < ended:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))
        assert process.poll() is None, (folder / "log").read_text()
        os.killpg(process.pid, signum)
        assert process.wait() in (-signal.SIGKILL, 128 + signal.SIGTERM)
        assert "Traceback" not in (folder / "log").read_text()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    computed = [
        load(file.with_name("config.yaml"))["merge"]["slerp"]["method"]["norm"]
        for file in folder.glob("multirun/*/*/*/metrics.json")
    ]
    assert sorted(computed) == points
    assert len(results()) == len(points)
    assert done.stdout.count('"known": true') >= 8
    config = folder / "checkpoints/base/provenance.json"
    config.write_text(config.read_text() + "\n")  # another input: no result is of it
    config.with_name("SHA256SUMS").unlink()  # the change is meant
    done = subprocess.run(
        [*command[:4], *words[1:2], "merge.method.norm=0.05", "--multirun"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"known"' not in done.stdout
    assert len(results()) == len(points) + 1
