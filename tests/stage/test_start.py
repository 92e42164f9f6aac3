"""What a stage imports before it does anything: seconds of every process, so nothing slow that it does not need."""

import subprocess
import sys

import pytest

PROBE = """
import sys
{code}
slow = {{"torch", "sklearn", "sentence_transformers", "pytorch_lightning", "wandb", "wandb.sdk.launch"}}
print("imported:", *sorted(slow & set(sys.modules)))
"""
OFFLINE = """
from pathlib import Path
from pipeline.training.tracking import finish, loggers
runtime = {{"tracker": {mode!r}, "project": "p"}}
assert len(loggers(Path("logs"), "x", runtime)) == {loggers}
finish()
"""


def imported(code, folder, root):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE.format(code=code)],
        cwd=folder, env={"PYTHONPATH": str(root), "PATH": "/usr/bin", "HOME": str(folder), "WANDB_SILENT": "true"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("stage", ["compose", "ingest", "baseline"])
def test_a_stage_without_a_model_starts_without_torch_and_what_scores(stage, tmp_path, root):
    code = f"import pipeline.stage.{stage}, pipeline.report.costs, pipeline.evaluator.classification, pipeline.evaluator.clustering"
    assert imported(code, tmp_path, root) == set()


def test_a_training_imports_the_tracker_only_where_it_is_told(tmp_path, root):
    alone = imported(OFFLINE.format(mode="disabled", loggers=1), tmp_path, root)
    assert "pytorch_lightning" in alone
    assert not {"wandb", "wandb.sdk.launch"} & alone


def test_a_run_of_the_tracker_starts_without_its_jobs(tmp_path, root):
    assert "wandb" in (found := imported(OFFLINE.format(mode="offline", loggers=2), tmp_path, root))
    assert "wandb.sdk.launch" not in found
    assert list((tmp_path / "wandb").glob("offline-run-*"))
