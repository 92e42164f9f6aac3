"""Do the experts learn from their pairs? Each against the untrained backbone and against its control on shuffled pairs.

    python benchmarks/learning.py [encoder ...]        default: scratch minilm

Runs the DAG of the default corpus in a throw-away clone, once per encoder; prints test scores on held-out modules with their
95 % intervals of the paired difference to the backbone. Exit status 1 where an expert does not beat it, or a control does.
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

EXPERTS = ("retrieval", "sts", "retrieval_control", "sts_control")


def main(encoders: list[str]) -> int:
    evaluators = {"retrieval": Retrieval(depth=100), "sts": Sts()}
    failed = 0
    for encoder in encoders:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Path(folder) / "tributary"
            subprocess.run(["git", "clone", "-q", ".", str(workspace)], check=True)
            _page(workspace / "params.yaml", encoder)
            targets = [f"evaluate@{name}" for name in ("backbone", *EXPERTS)]
            subprocess.run(["dvc", "repro", "-q", *targets], check=True, cwd=workspace, env=os.environ | {"WANDB_MODE": "disabled"})
            items = {name: read_json(workspace / f"data/evaluated/{name}.json")["test"] for name in ("backbone", *EXPERTS)}
        print(f"\n{encoder}: main test score minus the untrained backbone's, on the expert's own task")
        for name in EXPERTS:
            task = name.split("_")[0]
            against = differences(evaluators, items[name], items["backbone"], resamples=1000, confidence=0.95, seed=0)
            for collection, d in against.items():
                if collection.startswith(task):
                    better = d.low > 0
                    failed += better == name.endswith("_control")
                    print(f"  {name:18} {collection:20} {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}] {'better' if better else 'not better'}")
    return int(failed > 0)


def _page(path: Path, encoder: str) -> None:
    page = yaml.safe_load(path.read_text(encoding="utf-8"))
    page["choose"]["encoder"] = encoder
    page["experts"] = {name: f"checkpoints/experts/{name}" for name in EXPERTS}
    page["models"] = {"backbone": "checkpoints/backbone", **page["experts"]}
    path.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["scratch", "minilm"]))
