"""python isolated.py <finished workspace> <empty folder>: every stage again, each alone in a folder of its own.

There it finds what dvc.yaml lists for it, files and sections of the configuration, and nothing else. So a stage that reads more
fails, or writes other bytes than the first time. Another process, hence other hash seeds; another place, hence other paths.
"""

import os
import runpy
import shutil
import sys
from pathlib import Path

import yaml

from pipeline.__main__ import main
from pipeline.checkpoint import write_yaml

TEMPLATED = (
    "experts",
    "models",
    "runtime",
)  # where things lie: dvc.yaml takes these from params.yaml; and what changes no result


def prepare(node, finished: Path, folder: Path, section_in) -> None:
    for dep in node.deps:
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
        write_yaml(folder / "data/config.yaml", alone)


if __name__ == "__main__":
    first, target = map(Path, sys.argv[1:])
    stand_in = runpy.run_path(str(Path(__file__).parents[1] / "stand_in.py"))
    for name, node in stand_in["nodes"](first).items():
        (target / name).mkdir(parents=True)
        prepare(node, first, target / name, stand_in["section_in"])
        os.chdir(target / name)
        if status := main(node.command.split()[3:]):
            sys.exit(status)
