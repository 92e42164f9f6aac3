"""Hashes of the code that stages run. `compose` writes them to `data/config.yaml`, where each stage lists its own as a parameter.

A hash covers the syntax trees of all modules that a stage reaches, so comments, docstrings and layout do not count. A stage reaches
`__main__`, its own module, and what its sections of the configuration name. A module reaches

- what it imports, inside functions too, with the ``__init__`` of each package on the way;
- what a string in it names: a module or something in one (``"pipeline.pooling.standard.standard"``), or data beside it (a file that is not
  Python, a folder without any).

An encoder directory names code too, which is built when it is loaded. What a directory that the DAG makes will name follows from the
configuration; any other directory is read. Libraries do not count: their versions stand in `constraints.txt`.
"""

import ast
import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline.build import class_value
from pipeline.task import brought

PACKAGE = Path(__file__).parent
STAGES = ("ingest", "curate", "pretrain", "mine", "final", "stress", "report")
ITEMS = {
    "train": "train",
    "merge": "merge",
    "derive": "derive",
    "baseline": "baseline",
    "evaluate": "models",
}  # stage -> section with a key for each item
BUILDS = {
    "pretrain": "encoder",
    "baseline": "evaluate",
    "final": "evaluate",
    "report": "evaluate",
}  # beside a stage's own section
WRITES_NO_OUTPUT = {"report/costs.py"}  # `__main__` calls it after a stage
KINDS = "task.py"
MERGED_BY = "merge"  # in what an expert keeps: the node of what merges it, which is code of merges alone
MADE = ("checkpoints/backbone", "checkpoints/base")
EXPERTS, MERGED, DERIVED = Path("checkpoints/experts"), Path("checkpoints/merged"), Path("checkpoints/derived")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Source(NamedTuple):
    """``digest``: of a module's syntax tree, or of the bytes of a file that is not Python. ``reaches``: files of the package."""

    digest: bytes
    reaches: frozenset[str]


class Code:
    """The files of a package, by their path in it. Each is read once, when it is first reached."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.package = package
        found = (file.relative_to(package) for file in package.rglob("*") if file.is_file())
        files = [file for file in found if "__pycache__" not in file.parts]
        self.files = {file.as_posix() for file in files}
        with_python = {folder for file in files if file.suffix == ".py" for folder in file.parents}
        self.data: dict[Path, set[str]] = {}  # path of a file that is not Python, or of a folder without any -> files
        for file in files:
            top = next(path for path in (file, *file.parents) if path.parent in with_python)
            if top.suffix != ".py":
                self.data.setdefault(top, set()).add(file.as_posix())
        self._sources: dict[str, Source] = {}

    def reached(self, names: Iterable[str]) -> set[str]:
        """All files that modules, or names in modules (``pipeline.pooling.standard.standard``), reach; other strings name nothing."""
        found: set[str] = set()
        waiting = {file for name in names for file in self.named(name)}
        while waiting:
            found |= waiting
            waiting = {file for one in waiting for file in self._source(one).reaches} - found - WRITES_NO_OUTPUT
        return found

    def hashed(self, files: Iterable[str]) -> str:
        lines = [f"{file} {self._source(file).digest.hex()}\n" for file in sorted(files)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]

    def named(self, name: str) -> list[str]:
        """The ``__init__`` of each package in a dotted name, and the module; what follows the module is a name in it."""
        first, *parts = name.split(".")
        if first != self.package.name:
            return []
        folders = ["", *(f"{'/'.join(parts[:end])}/" for end in range(1, len(parts) + 1))]
        packages = [f"{folder}__init__.py" for folder in folders]
        modules = [f"{folder[:-1]}.py" for folder in folders[1:]]
        return [file for file in packages if file in self.files] + [file for file in modules if file in self.files][:1]

    def _source(self, file: str) -> Source:
        if file not in self._sources:
            content = (self.package / file).read_bytes()
            if file == KINDS:  # which reads what evaluators define without importing them
                content += f"\n_BROUGHT = {sorted(brought(self.package).items())!r}\n".encode()
            parsed = file.endswith(".py")
            self._sources[file] = (
                self._parsed(file, content) if parsed else Source(hashlib.sha256(content).digest(), frozenset())
            )
        return self._sources[file]

    def _parsed(self, file: str, content: bytes) -> Source:
        words: list[str] = []
        reaches: set[str] = set()

        def visit(value: Any) -> None:
            if isinstance(value, list):
                words.append(f"[{len(value)}")
                for one in value:
                    visit(one)
            elif not isinstance(value, ast.AST):
                words.append(repr(value))
            else:
                words.append(type(value).__name__)
                documented = isinstance(value, DOCUMENTED) and ast.get_docstring(value, clean=False) is not None
                for field in value._fields:
                    inner = getattr(value, field, None)
                    visit(inner[1:] if documented and field == "body" else inner)  # pyright: ignore[reportOptionalSubscript]
                if isinstance(value, ast.Import | ast.ImportFrom):
                    reaches.update(found for name in self._imported(file, value) for found in self.named(name))
                elif isinstance(value, ast.Constant) and isinstance(value.value, str):
                    beside = Path(file).parent / value.value.split("/")[0]
                    reaches.update(self.named(value.value), self.data.get(beside, ()))

        visit(ast.parse(content, filename=str(self.package / file)))
        return Source(hashlib.sha256("\n".join(words).encode()).digest(), frozenset(reaches))

    def _imported(self, file: str, node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        here = [self.package.name, *Path(file).parts[:-1]]
        start = here[: len(here) + 1 - node.level] if node.level else []
        return [".".join([*start, *([node.module] if node.module else []), alias.name]) for alias in node.names]


def code_hashes(config: Mapping[str, Any], code: Code | None = None) -> dict[str, Any]:
    """A hash for each stage but `compose`; for each item of stages that have items."""
    code = code or Code()
    found: dict[str, Any] = {stage: code.hashed(code_of(code, config, stage)) for stage in STAGES}
    for stage, section in ITEMS.items():
        items = [*config[section], *(one for one in config["left_out"].get(stage, {}) if one not in config[section])]
        found[stage] = {item: code.hashed(code_of(code, config, stage, item)) for item in items}
    return found


def code_of(code: Code, config: Mapping[str, Any], stage: str, item: str | None = None) -> set[str]:
    """Files of the package that a stage, or an item of it, reaches; of one that is left out, those that say so."""
    if item in config["left_out"].get(stage, {}):
        return code.reached(f"{code.package.name}.{module}" for module in ("__main__", "stage.left_out"))
    names = {f"{code.package.name}.__main__", f"{code.package.name}.stage.{stage}"}
    names.update(name for section in _sections(config, stage, item) for name in _named(section, config))
    reached = code.reached(names)
    if any(file.startswith("encoder/") for file in reached):  # which loads directories; only pretrain builds a backbone anew
        reached |= code.reached(_strings(_without(config["encoder"], "backbone")))
    return reached


def _sections(config: Mapping[str, Any], stage: str, item: str | None) -> list[Any]:
    found = [config[stage] if stage == "evaluate" or item is None else config[stage][item]]
    if stage in BUILDS:
        found.append(config[BUILDS[stage]])
    if stage == "merge":
        kept = [
            of for name, path in config["experts"].items() if Path(path).parent == EXPERTS for of in _nodes_kept(config, name)
        ]
        found += [of[MERGED_BY]["_target_"] for of in kept if MERGED_BY in of]
    if stage == "evaluate":
        found.append(config["models"][item])
    if stage in ("final", "stress"):
        found += config["models"].values()  # one of them
    return found


def _named(section: Any, config: Mapping[str, Any]) -> Iterator[str]:
    """The strings of a section, and what those name that are paths of encoder directories."""
    for text in _strings(section):
        yield text
        yield from _strings(_in_directory(text, config))


def _in_directory(place: str, config: Mapping[str, Any]) -> Any:
    """What the files of an encoder directory name. Nothing where ``place`` is no such directory."""
    experts = config["experts"]
    if Path(place).parent == DERIVED and Path(place).name in config["derive"]:  # has the modules of what it is of
        own = config["derive"][Path(place).name]
        target = own["derivation"]["_target_"]
        beside = [target] if class_value(target, "several", "derive") else []  # which brings a module of its own
        return [*_in_directory(own["of"], config), *beside]
    merged = Path(place).parent == MERGED or Path(place) == EXPERTS
    trained = [name for name, path in experts.items() if (Path(path).parent == EXPERTS if merged else path == place)]
    if place in MADE or trained or merged:
        return [_kept(config["train"][name]) for name in trained]
    with contextlib.suppress(OSError):  # a text too long for a path
        if Path(place, "modules.json").is_file():
            files = [Path(place, "modules.json"), *sorted(Path(place).glob("*.yaml"))]
            return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    return []


def _kept(training: Mapping[str, Any]) -> dict[str, Any]:
    """What an expert's directory names, by the section that it is trained by."""
    return {key: training[key] for key in class_value(training["fit"]["_target_"], "keeps", "fit") or ()}


def _nodes_kept(config: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The mappings among what an expert keeps; none of one that is left out."""
    training = config["train"].get(name)
    return [one for one in _kept(training).values() if isinstance(one, Mapping)] if training else []


def _strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping | list):
        for value in _without(tree, MERGED_BY).values() if isinstance(tree, Mapping) else tree:
            yield from _strings(value)


def _without(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name != key}
