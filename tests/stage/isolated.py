"""python isolated.py <finished workspace> <empty folder> [names]: every stage again (or these), each alone in a folder of its own.

There it finds what dvc.yaml lists for it, files and sections of the configuration, and nothing else. So a stage that reads more
fails, or writes other bytes than the first time. Another process, hence other hash seeds; another place, hence other paths.
Each imports the package anew; ``modules.json`` in its folder holds the modules that it has then.
"""

import importlib
import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import yaml

TEMPLATED = (
    "experts",
    "models",
    "runtime",
    "left_out",
)  # where things lie: dvc.yaml takes these from params.yaml; what changes no result; what is left out, which an item's code hash tells


def prepare(node, finished: Path, folder: Path, section_in) -> None:
    for dep in dict.fromkeys(node.deps):  # a model may be both what is evaluated and what it is compared with
        if not dep.startswith("pipeline"):
            (folder / dep).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (finished / dep).is_dir() else shutil.copy)(finished / dep, folder / dep)
    if node.sections:
        config = yaml.safe_load((finished / "data/config.yaml").read_text(encoding="utf-8"))
        alone = {name: config[name] for name in TEMPLATED}
        for section in node.sections:
            *parents, last = section.split(".")
            at = alone
            for key in parents:
                at = at.setdefault(key, {})
            at[last] = section_in(config, section)
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data/config.yaml").write_text(yaml.safe_dump(alone), encoding="utf-8")


if __name__ == "__main__":
    first, target = map(Path, sys.argv[1:3])
    stand_in = runpy.run_path(str(Path(__file__).parents[1] / "stand_in.py"))
    for name, node in stand_in["nodes"](first).items():
        if sys.argv[3:] and name not in sys.argv[3:]:
            continue
        (target / name).mkdir(parents=True)
        prepare(node, first, target / name, stand_in["section_in"])
        os.chdir(target / name)
        for module in [module for module in sys.modules if module.split(".")[0] == "pipeline"]:
            del sys.modules[module]
        if status := importlib.import_module("pipeline.__main__").main(node.command.split()[3:]):
            sys.exit(status)
        modules = sorted(module for module in sys.modules if module.split(".")[0] == "pipeline")
        (target / name / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
