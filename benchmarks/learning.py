"""Do the experts learn from their pairs? Each, and its control on shuffled pairs, against what it was trained from.

    python benchmarks/learning.py [encoder ...]        default: scratch minilm

Runs the DAG of the default corpus in a throw-away clone, once per encoder; prints the difference in test score on held-out modules to
the base (before the expert's training) and to the backbone (before any), with its paired 95 % interval. Exit status 1 where an
expert does not beat both, or a control beats the base.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from pipeline.checkpoint import read_json
from pipeline.evaluator.comparison import differences
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts

STARTS = ("base", "backbone")
EXPERTS = ("retrieval", "sts", "retrieval_control", "sts_control")


def main(encoders: list[str]) -> int:
    evaluators = {"retrieval": Retrieval(depth=100), "sts": Sts()}
    failed = 0
    for encoder in encoders:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Path(folder) / "tributary"
            subprocess.run(["git", "clone", "-q", ".", str(workspace)], check=True)
            _page(workspace / "params.yaml", encoder)
            targets = [f"evaluate@{name}" for name in (*STARTS, *EXPERTS)]
            subprocess.run(["dvc", "repro", "-q", *targets], check=True, cwd=workspace, env=os.environ | {"WANDB_MODE": "disabled"})
            items = {name: read_json(workspace / f"data/evaluated/{name}.json")["test"] for name in (*STARTS, *EXPERTS)}
        print(f"\n{encoder}: difference in main test score on the expert's own task")
        for name in EXPERTS:
            task = name.split("_")[0]
            control = name.endswith("_control")
            for start in STARTS[:1] if control else STARTS:
                against = differences(evaluators, items[name], items[start], resamples=1000, confidence=0.95, seed=0)
                d = against[f"{task}/apidocs"]
                failed += (d.low > 0) == control
                verdict = "better" if d.low > 0 else "not better"
                print(f"  {name:18} minus {start:9} {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}] {verdict}")
    return int(failed > 0)


def _page(path: Path, encoder: str) -> None:
    page = yaml.safe_load(path.read_text(encoding="utf-8"))
    page["choose"]["encoder"] = encoder
    page["experts"] = {name: f"checkpoints/experts/{name}" for name in EXPERTS}
    page["models"] = {name: f"checkpoints/{name}" for name in STARTS} | page["experts"]
    path.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["scratch", "minilm"]))
