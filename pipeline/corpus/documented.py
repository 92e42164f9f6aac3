"""The documented public objects of Python files, parsed and never imported: what the source `apidocs` makes rows of."""

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

from pipeline.corpus.docstring import Prose, parsed_docstring
from pipeline.corpus.row import Rejected

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Documented:
    """A public class, function or method. ``module`` is the file it stands in; ``signature`` is empty for a property."""

    name: str
    module: str
    family: str
    signature: str
    prose: Prose

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Parsed:
    """One file. ``listed``: its ``__all__``; ``imported``: what it takes from other modules by name."""

    package: str
    module: str
    objects: tuple[Documented, ...]
    listed: frozenset[str]
    imported: frozenset[str]
    rejected: Rejected | None


def public_module(module: str) -> str:
    """``module`` up to its first private part: what scipy.signal._filter_design defines is named in scipy.signal."""
    return ".".join(takewhile(lambda part: not part.startswith("_"), module.split(".")))


def family(module: str, deep_families: Sequence[str]) -> str:
    """The first two parts of a public module path, three at or below a module of ``deep_families``."""
    deep = any(module == name or module.startswith(name + ".") for name in deep_families)
    return ".".join(module.split(".")[: 3 if deep else 2])


def parsed_file(location: tuple[str, str], *, deep_families: Sequence[str]) -> Parsed:
    """(folder that holds the package, path of the file below it) -> its documented objects. Runs in a process of the pool."""
    folder, file = location
    parts = file.removesuffix(".py").split("/")
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's docstrings
            tree = ast.parse(Path(folder, file).read_bytes())
    except (SyntaxError, ValueError) as error:
        return Parsed(parts[0], module, (), frozenset(), frozenset(), Rejected(file, 0, f"not valid Python: {error}"))
    public = public_module(module)
    in_family = family(public, deep_families)
    objects = tuple(
        Documented(f"{public}.{name}", module, in_family, _signature(node, name), parsed_docstring(text))
        for name, node in _definitions(tree, "")
        if (text := ast.get_docstring(node))
    )
    listed = {name for node in tree.body for name in _listed(node)}
    imported = {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    return Parsed(parts[0], module, objects, frozenset(listed), frozenset(imported), None)


def _definitions(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Definition]]:
    for child in node.body:
        if isinstance(child, DEFINITIONS) and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from _definitions(child, f"{prefix}{child.name}.")


def _signature(node: Definition, name: str) -> str:
    """``Class.method(x, axis=0)`` without self and annotations; empty where there is none to call."""
    function = node
    if isinstance(node, ast.ClassDef):
        function = next((child for child in node.body if isinstance(child, DEFINITIONS) and child.name == "__init__"), node)
    if isinstance(function, ast.ClassDef) or any("property" in ast.unparse(mark) for mark in function.decorator_list):
        return ""
    arguments = function.args
    for positional in (arguments.posonlyargs, arguments.args):
        if positional and positional[0].arg in ("self", "cls"):
            del positional[0]
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None
    return " ".join(f"{name}({ast.unparse(arguments)})".split())


def _listed(node: ast.stmt) -> Iterator[str]:
    """Names in ``__all__ = [...]`` and ``__all__ += [...]``."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    if isinstance(node, ast.Assign | ast.AugAssign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
        yield from (
            leaf.value for leaf in ast.walk(node.value) if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
        )


def public_objects(files: Sequence[Parsed]) -> list[Documented]:
    """Objects of one package by name. One that stands in a private file counts if the public package above it shows it.

    That package's ``__init__`` imports it by name, or, below the top, the file lists it in ``__all__`` (for ``import *``).
    """
    imported = {file.module: file.imported for file in files}
    objects: dict[str, Documented] = {}
    for file in files:
        above = public_module(file.module)
        shown = imported.get(above, frozenset()) | (file.listed if above != file.package else frozenset())
        for each in file.objects:
            top = each.name.removeprefix(above + ".").split(".")[0]
            if each.prose.summary and (file.module == above or top in shown):
                objects.setdefault(each.name, each)
    return [objects[name] for name in sorted(objects)]


def without_boilerplate(objects: Sequence[Documented], *, max_repeats: int) -> list[Documented]:
    """``objects`` of one package without the sentences that more than ``max_repeats`` of them say ("Read more in ...")."""
    said = Counter(sentence for each in objects for sentence in dict.fromkeys(each.prose.description))
    return [
        replace(each, prose=each.prose._replace(description=tuple(s for s in each.prose.description if said[s] <= max_repeats)))
        for each in objects
    ]
