"""Do the experts learn from their pairs? Each, and its control on shuffled pairs, against what it was trained from.

    python benchmarks/learning.py [encoder ...]        default: scratch minilm

Runs the DAG of the default corpus in a throw-away clone for each encoder and three seeds (of weights and batches; the split stays). Prints
the difference in main test score on held-out modules to the base (before the expert's training) and to the backbone (before
any), its mean over the seeds and the 95 % interval of that mean (Student's t: it draws the
training, and holds the test items fixed). Exit status 1 where an expert does not beat both
on its own task with every seed, or a control beats the base on the mean.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from over_seeds import over_seeds

from pipeline.checkpoint import read_json

SEEDS = (0, 1, 2)
STARTS = ("base", "backbone")
EXPERTS = ("retrieval", "sts", "retrieval_control", "sts_control")
TASKS = ("retrieval", "sts")


def main(encoders: list[str]) -> int:
    failed = 0
    for encoder in encoders:
        scores = [_run(encoder, seed) for seed in SEEDS]
        print(f"\n{encoder}: difference in main test score on the expert's own task, seeds {SEEDS}")
        for name in EXPERTS:
            task, control = name.split("_")[0], name.endswith("_control")
            for start in STARTS[:1] if control else STARTS:
                found = np.array([score[name][task] - score[start][task] for score in scores])
                half = found.mean() - over_seeds(found, 0.95).low
                better = bool(found.mean() > 0 if control else found.min() > 0)
                failed += better == control
                each = " ".join(f"{value:+.4f}" for value in found)
                print(
                    f"  {name:18} minus {start:9} {found.mean():+.4f} +- {half:.4f} ({each}) {'better' if better else 'not better'}"
                )
    return int(failed > 0)


def _run(encoder: str, seed: int) -> dict[str, dict[str, float]]:
    """Main test score by model and task."""
    names = (*STARTS, *EXPERTS)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "tributary"
        subprocess.run(["git", "clone", "-q", ".", str(workspace)], check=True)
        path = workspace / "params.yaml"
        page = yaml.safe_load(path.read_text(encoding="utf-8"))
        page["choose"]["encoder"] = encoder
        page["experts"] = {name: f"checkpoints/experts/{name}" for name in EXPERTS}
        page["models"] = {name: f"checkpoints/{name}" for name in STARTS} | page["experts"]
        page["set"] = {"seed": seed, "curate.split.seed": 0, "runtime.tracker": "disabled"}
        path.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
        subprocess.run(
            ["dvc", "repro", "-q", *(f"evaluate@{name}" for name in names)],
            check=True, cwd=workspace, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        tests = {name: read_json(workspace / f"data/metrics/evaluate/{name}.json")["test"] for name in names}
    scores = {
        name: {one["task"]: one["value"] for one in test.values() if one["task"] in TASKS} for name, test in tests.items()
    }
    print(f"{encoder}, seed {seed}: {scores}", file=sys.stderr, flush=True)
    return scores


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["scratch", "minilm"]))
