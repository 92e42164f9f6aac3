"""Results of the jobs of sweeps, kept by what made them, so that a sweep that was killed repeats none of those that ended."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.checkpoint import read_json, sha256, write_json
from pipeline.code_hash import Code, code_of

RESULTS = Path("multirun/results")
GRAPH = Path("dvc.yaml")


class Result:
    """Of one job, in a file named after the hash of its configuration without ``runtime``, of the code, and of the files that its stage
    reads (dvc.yaml)."""

    def __init__(self, stage: str, item: str | None, config: Mapping[str, Any]) -> None:
        made_of = {key: value for key, value in config.items() if key != "runtime"}
        code = Code()
        inputs = {path: sha256(Path(path)) for path in reads(stage, item, config) if Path(path).exists()}
        told = json.dumps([stage, item, made_of, code.hashed(code_of(code, config, stage, item)), inputs], sort_keys=True)
        self.file = RESULTS / f"{stage}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"

    def told(self) -> float | None:
        """The first of the metrics, after a line with all of them and the folder of what the job wrote; None where it has not ended, or the
        folder is gone."""
        found = read_json(self.file) if self.file.is_file() else None
        if found is None or not Path(found["output"]).is_dir():
            return None
        print(json.dumps(found | {"known": True}))
        return next((value for key, value in found.items() if key != "output"), 0.0)

    def keep(self, output: Path, metrics: Mapping[str, float]) -> None:
        write_json(self.file, {"output": str(output), **metrics})


def reads(stage: str, item: str | None, config: Mapping[str, Any]) -> list[str]:
    """The paths that a stage depends on. Where one is the item's own (``${item}``), the configuration says which."""
    node = yaml.safe_load(GRAPH.read_text(encoding="utf-8"))["stages"][stage]
    of_item = {"evaluate": config["models"], "derive": {name: one["of"] for name, one in config["derive"].items()}}
    own = of_item.get(stage, {}).get(item)
    return [re.sub(r"\$\{item(\.of)?\}", str(own), path) for path in node.get("do", node)["deps"]]
