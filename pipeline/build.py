"""What `data/config.yaml` says, and what its nodes name, built. Stages run this code, not `pipeline.params`.

A node with ``_target_`` is checked against the keyword-only arguments
of what it names, read from the source with ``ast``: nothing heavy is imported, so a misspelt key fails within seconds.
"""

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pydantic import Field, TypeAdapter, ValidationError

from pipeline.spelling import nearest, wanted

CONFIG = Path("data/config.yaml")
KNOWN = {"Annotated": Annotated, "Any": Any, "Field": Field, "Literal": Literal, "Mapping": Mapping, "Sequence": Sequence}
Node: TypeAlias = dict[str, Any]  # a ``_target_`` and its keyword arguments


def load(path: Path = CONFIG) -> dict[str, Any]:
    """The composed configuration; ValueError where `compose` has not run."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; run `python -m pipeline compose` (or `dvc repro`) first")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def nodes(tree: Any, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every ``_target_`` node with its path, outermost first."""
    if isinstance(tree, Mapping):
        if "_target_" in tree:
            yield path, dict(tree)
        for key, value in tree.items():
            yield from nodes(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from nodes(value, f"{path}.{index}")


def check_node(node: Node, path: str) -> None:
    """ValueError unless ``node`` names something of this package, with exactly its keyword-only arguments."""
    target = str(node.get("_target_"))
    if not target.startswith("pipeline."):
        raise ValueError(f"{path}._target_: {target!r} is not allowed; expected pipeline.*: a configuration calls nothing else")
    annotations = signature(target, path)
    given = {key: value for key, value in node.items() if key != "_target_"}
    for key in given:
        if key not in annotations:
            raise ValueError(
                f"{path}.{key}: {target} takes no {key!r}{nearest(key, annotations)}; it takes: {', '.join(annotations) or 'nothing'}"
            )
    for key, annotation in annotations.items():
        if key not in given:
            raise ValueError(f"{path}: {target} needs {key!r} ({annotation}); write it in the YAML that chose it")
        _check_type(given[key], annotation, f"{path}.{key}")


def build(node: Node, *, later: bool = False) -> Any:
    """What ``node`` names, made from its values; ``later``: a callable that makes it. Only this package's own names are called."""
    name = str(node.get("_target_", "node"))
    check_node(node, name)
    for path, inner in nodes(node, name):
        check_node(inner, path)
    try:
        return instantiate(node, _partial_=later, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):  # a value that the part itself refuses, said in the part's own words
            raise ValueError(f"{name}: {error.__cause__}") from error
        raise


def class_value(target: str, name: str, path: str) -> Any:
    """What the class ``target`` has under ``name``, written there as a literal, without importing it; None where there is none."""
    for node in getattr(_definition(target, path), "body", []):
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in node.targets):
            return ast.literal_eval(node.value)
    return None


def signature(target: str, path: str) -> dict[str, str]:
    """Keyword-only arguments of a function, or of a class's ``__init__``, and their annotations, without importing it."""
    found = _definition(target, path)
    if isinstance(found, ast.ClassDef):
        inits = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        if not inits:
            return {}
        found = inits[0]
    assert isinstance(found, ast.FunctionDef)
    return {arg.arg: ast.unparse(arg.annotation) if arg.annotation else "Any" for arg in found.args.kwonlyargs}


def _definition(target: str, path: str) -> ast.stmt:
    """The class or function that ``target`` names; ValueError, with the nearest name, where there is none."""
    module, _, name = target.rpartition(".")
    file = Path(__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        package = file.parent
        names = sorted(f.stem for f in package.glob("*.py") if f.stem != "__init__") if package.is_dir() else []
        raise ValueError(f"{path}._target_: no module {module}{nearest(module.rpartition('.')[2], names)}")
    defined = _defined(file, file.stat().st_mtime_ns)
    if name not in defined:
        raise ValueError(f"{path}._target_: {module} defines no {name}{nearest(name, defined)}")
    return defined[name]


@functools.cache
def _defined(file: Path, changed: int) -> dict[str, ast.stmt]:
    """Classes and functions of a file as it is since ``changed``."""
    return {node.name: node for node in ast.parse(file.read_text(encoding="utf-8")).body if hasattr(node, "name")}  # pyright: ignore[reportAttributeAccessIssue]


def _check_type(value: Any, annotation: str, path: str) -> None:
    try:
        kind = eval(annotation, KNOWN)  # noqa: S307  our own annotations, read from our own source
    except NameError:
        return  # a part that code builds, not a value
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        near = nearest(str(value), get_args(kind)) if get_origin(kind) is Literal else ""
        problem = error.errors()[0]
        told = wanted(problem).removeprefix("expected ")
        raise ValueError(f"{path}: expected {annotation}, got {value!r}{near}; write {told}") from None
