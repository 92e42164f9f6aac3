"""`dvc repro` reruns what an edit concerns: all of it, and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from pipeline.params import Page, compose_config
from pipeline.params import nodes as targets_in

# Every stage lists the code it runs

# Code that no import statement shows, by the module that brings it in, and files that are no Python.
BROUGHT_IN = {"pipeline.encoder.encoder": "pipeline.pooling"}  # Encoder.load builds the pooling that a directory names
FILES_BESIDE = {"report": ["pipeline/stage/report_templates"]}
BUILDS_NONE = {("report", "merge")}  # a stage that looks at a section without building what is chosen there


@pytest.fixture(scope="module")
def nodes(root, stand_in):
    return stand_in.nodes(root)


@pytest.fixture(scope="module")
def imports():
    return grimp.build_graph("pipeline")


@pytest.fixture(scope="module")
def choices(root):
    """Section of data/config.yaml -> packages that what is chosen there comes from. Another choice is another file of them."""
    page = Page(
        choose={"experiment": "apidocs"}, corpora={}, experts={"joint": "x"}, methods=["soup"], models={"joint": "x"}, set={}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        config = compose_config(page)
    found: dict[str, set[str]] = {}
    for path, node in targets_in(config):
        found.setdefault(path.split(".")[0], set()).add(node["_target_"].rsplit(".", 2)[0])
    return found


def code_of(node, imports, choices):
    """Files that a stage's code is in: its module and `__main__`, what its sections can choose, and all that these import."""
    modules = {"pipeline.__main__", f"pipeline.stage.{node.name.split('@')[0]}"}
    for section in {path.split(".")[0] for path in node.sections}:
        for package in choices.get(section, ()) if (node.name, section) not in BUILDS_NONE else ():
            modules |= {package, *imports.find_descendants(package)}
    while True:
        reached = set(modules)
        for module in modules:
            reached |= imports.find_upstream_modules(module)
            if module in BROUGHT_IN:
                reached |= {BROUGHT_IN[module], *imports.find_descendants(BROUGHT_IN[module])}
        if reached == modules:
            return modules
        modules = reached


def file_of(root, module):
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def listed_code(root, stand_in, node):
    folders_and_files = [root / dep for dep in node.deps if dep.startswith("pipeline") and dep not in FILES_BESIDE.get(node.name, [])]
    return {file for path in folders_and_files for file in stand_in.files_below(path)}


def test_every_stage_lists_the_code_it_runs_and_no_other(root, stand_in, nodes, imports, choices):
    for node in nodes.values():
        needed = {file_of(root, module) for module in code_of(node, imports, choices)}
        listed = listed_code(root, stand_in, node)
        empty = {file for file in needed | listed if not file.read_bytes()}  # an __init__.py without content
        missing = {str(file.relative_to(root)) for file in needed - listed - empty}
        unused = {str(file.relative_to(root)) for file in listed - needed - empty}
        assert not missing, f"dvc.yaml: {node.name} runs {missing}; list it under deps"
        assert not unused, f"dvc.yaml: {node.name} lists {unused}, which it does not run"
