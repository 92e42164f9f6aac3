"""Text pairs out of the docstrings of installed Python packages: real prose by people, on every machine, without a network.

Three tasks from one docstring. ``retrieval``: its first sentence finds the prose that follows it. ``weak``: a signature
finds its summary. ``sts``: pairs of texts graded 3 (about one object), 2 (one object's See Also names the other), 1 (same
file, not linked) or 0 (same family, files that no link joins). The links are the authors' judgement; the scale is ours.

A *family* is the first two parts of the public module path (scipy.signal), three below the modules of ``deep_families``,
which are a large part of their package. That rule is ours. Both texts of a row belong to one family, whose name is the
row's group, so a split by group never parts them.

The files are parsed, never imported. Price: text that only exists after import (ufuncs, generated docstrings) is missed, and
grade 0 is unlinked rather than known to be unrelated, for a family has one subject.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import multiprocessing
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, takewhile
from pathlib import Path
from typing import TypeAlias

from pipeline.corpus.docstring import Prose, parsed_docstring
from pipeline.corpus.row import Record, Rejected, Row

CHUNK_FILES = 16  # handed to a process at a time: large enough to hide the hand-over, small enough to end together

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


@dataclass(frozen=True, slots=True)
class Parsed:
    """One file. ``listed``: its ``__all__``; ``imported``: what it takes from other modules by name."""

    package: str
    module: str
    objects: tuple[Documented, ...]
    listed: frozenset[str]
    imported: frozenset[str]
    rejected: Rejected | None


# Files


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


# Grades


class Links:
    """Which objects of a package name each other in See Also, within one family."""

    def __init__(self, objects: Sequence[Documented]) -> None:
        self.objects = {each.name: each for each in objects}
        self.by_ending: dict[str, list[str]] = defaultdict(list)
        for name in self.objects:
            parts = name.split(".")
            for start in range(1, len(parts)):
                self.by_ending[".".join(parts[start:])].append(name)
        linked = ((each, self.resolved(each, name)) for each in objects for name in each.prose.see_also)
        self.pairs = sorted(
            {
                (min(a.name, b.name), max(a.name, b.name))
                for a, b in linked
                if b is not None and a.name != b.name and a.family == b.family
            }
        )
        self.files = {frozenset((self.objects[a].module, self.objects[b].module)) for a, b in self.pairs}

    def resolved(self, at: Documented, name: str) -> Documented | None:
        """``name`` as written in the See Also of ``at``: seen from there outwards, else the one object whose name ends so."""
        parts = at.name.split(".")
        for depth in range(len(parts) - 1, -1, -1):
            if (full := ".".join([*parts[:depth], name])) in self.objects:
                return self.objects[full]
        ending = self.by_ending.get(name, [])
        return self.objects[ending[0]] if len(ending) == 1 else None


def graded_rows(objects: Sequence[Documented], *, min_words: int, min_unrelated: int) -> Iterator[Row]:
    """For every link a row of grade 2, and with the same left object one each of 3, 1 and 0 where there is one.

    ``objects`` are one package's. An object gets grade 3 once: where the left one has had it, or says nothing after its
    summary, the right one or another of the file takes its place. Grade 0 needs at least ``min_unrelated`` objects to
    choose from: in other folders of the family, else in files that no link joins to the left one's.
    """
    objects = [each for each in objects if len(each.prose.summary.split()) >= min_words]
    links = Links(objects)
    by_file, by_family = defaultdict(list), defaultdict(list)
    for each in objects:
        by_file[each.module].append(each)
        by_family[each.family].append(each)
    far: dict[tuple[str, str], list[Documented]] = {}
    told: set[str] = set()
    used = set(links.pairs)
    for left_name, right_name in links.pairs:
        left, right = links.objects[left_name], links.objects[right_name]
        if left.prose.summary == right.prose.summary:
            continue
        yield _graded(left, f"{right.name}#summary", right.prose.summary, 2.0)
        beside = [each for each in by_file[left.module] if each.family == left.family]
        for each in (left, right, *beside):
            if each.name not in told and (opening := _opening(each, min_words)):
                told.add(each.name)
                yield _graded(each, f"{each.name}#opening", opening, 3.0)
                break
        key = (left.module, left.family)
        if key not in far:
            far[key] = _unrelated(left, by_family[left.family], links, min_unrelated)
        for grade, candidates in ((1.0, beside), (0.0, far[key])):
            if other := _picked(left, right, candidates, used):
                used.add((min(left.name, other.name), max(left.name, other.name)))
                yield _graded(left, f"{other.name}#summary", other.prose.summary, grade)


def _graded(left: Documented, text_id: str, text: str, grade: float) -> Row:
    return Row("sts", f"{left.name}#summary", left.prose.summary, text_id, text, grade, None, left.family)


def _opening(each: Documented, min_words: int) -> str:
    """The first sentence after the summary, empty where it is too short to say anything."""
    opening = next(iter(each.prose.description), "")
    return opening if len(opening.split()) >= min_words and opening != each.prose.summary else ""


def _unrelated(left: Documented, objects: Sequence[Documented], links: Links, least: int) -> list[Documented]:
    unlinked = [b for b in objects if b.module != left.module and frozenset((left.module, b.module)) not in links.files]
    folder = left.module.rpartition(".")[0]
    other_folder = [b for b in unlinked if b.module.rpartition(".")[0] != folder]
    chosen = other_folder if len(other_folder) >= least else unlinked
    return chosen if len(chosen) >= least else []


def _picked(
    left: Documented, right: Documented, candidates: Sequence[Documented], used: Collection[tuple[str, str]]
) -> Documented | None:
    """One of ``candidates`` that does not say the same as ``left`` and makes no pair of ``used``.

    Chosen by a hash of the two names, so it is the same on every machine and does not follow the alphabet.
    """
    seed = hashlib.blake2b(f"{left.name} {right.name}".encode(), digest_size=8).digest()
    start = int.from_bytes(seed, "big") % max(len(candidates), 1)
    for other in (*candidates[start:], *candidates[:start]):
        pair = (min(left.name, other.name), max(left.name, other.name))
        if other.name != left.name and pair not in used and other.prose.summary != left.prose.summary:
            return other
    return None


# The source


class ApiDocs:
    """``packages``: import name -> version, which must be the installed one, for other versions hold other texts."""

    tasks = ("retrieval", "sts", "weak")

    def __init__(
        self,
        *,
        packages: Mapping[str, str],
        deep_families: Sequence[str],
        skip: Sequence[str],
        min_summary_words: int,
        min_description_words: int,
        max_words: int,
        max_repeats: int,
        min_unrelated: int,
        processes: int,
    ) -> None:
        if processes < 1:
            raise ValueError(f"processes must be 1 or more, got {processes}; 1 reads without a pool")
        if not 0 < min_summary_words <= min_description_words <= max_words:
            raise ValueError(
                "expected 0 < min_summary_words <= min_description_words <= max_words, got "
                f"{min_summary_words}, {min_description_words}, {max_words}"
            )
        self.packages = dict(packages)
        self.deep_families = tuple(deep_families)
        self.skip = frozenset(skip)
        self.min_summary_words = min_summary_words
        self.min_description_words = min_description_words
        self.max_words = max_words
        self.max_repeats = max_repeats
        self.min_unrelated = min_unrelated
        self.processes = processes

    def read(self) -> Iterator[Record]:
        owners = importlib.metadata.packages_distributions()
        files = [file for package in sorted(self.packages) for file in self._files(package, owners)]
        work = partial(parsed_file, deep_families=self.deep_families)
        with _mapped(work, files, self.processes) as parsed:
            for _, group in groupby(parsed, key=lambda file: file.package):
                package = list(group)
                yield from (file.rejected for file in package if file.rejected)
                yield from self._rows(without_boilerplate(public_objects(package), max_repeats=self.max_repeats))

    def _files(self, package: str, owners: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """(folder that holds the package, path below it) of every Python file, in the order of the paths."""
        folder = package_folder(package, self.packages[package], owners)
        files = (path.relative_to(folder.parent) for path in folder.rglob("*.py"))
        return [(str(folder.parent), path.as_posix()) for path in sorted(files) if self.skip.isdisjoint(path.parts[1:])]

    def _rows(self, objects: Sequence[Documented]) -> Iterator[Row]:
        for each in objects:
            name, summary = each.name, self._cut(each.prose.summary)
            if len(summary.split()) < self.min_summary_words:
                continue
            description = self._cut(" ".join(each.prose.description))
            if len(description.split()) >= self.min_description_words:
                yield Row("retrieval", f"{name}#summary", summary, name, description, group=each.family, thing=name)
            if each.signature:
                signature = self._cut(each.signature)
                ends = (f"{name}#signature", signature, f"{name}#summary", summary)
                yield Row("weak", *ends, group=each.family, thing=name)
        for row in graded_rows(objects, min_words=self.min_summary_words, min_unrelated=self.min_unrelated):
            yield replace(row, query=self._cut(row.query), document=self._cut(row.document))

    def _cut(self, text: str) -> str:
        return " ".join(text.split()[: self.max_words])


def package_folder(package: str, version: str, owners: Mapping[str, Sequence[str]]) -> Path:
    """The folder of an installed package, found without importing it. ``owners``: import name -> its distributions."""
    if "." in package:
        raise ValueError(f"packages must hold top-level import names, got {package!r}; write {package.split('.')[0]!r}")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise ValueError(
            f"expected {package!r} to be an installed package, found "
            f"{'nothing of that name' if spec is None else 'a single file or a namespace'}; "
            "install it or take it out of packages in conf/source/apidocs.yaml"
        )
    # 2.13.0+cpu and 2.13.0+cu130 are one version here, as for the resolver that fills the YAML: they hold the same texts.
    installed = {owner: importlib.metadata.version(owner).split("+")[0] for owner in sorted(set(owners.get(package, ())))}
    if version not in installed.values():
        raise ValueError(
            f"expected version {version} of {package!r}, found {installed or 'no installed distribution that holds it'}; "
            "run stage compose again, so that the configuration names what is installed"
        )
    return Path(spec.origin).parent


@contextmanager
def _mapped(
    work: Callable[[tuple[str, str]], Parsed], files: Sequence[tuple[str, str]], processes: int
) -> Iterator[Iterator[Parsed]]:
    """``work`` over ``files`` in their order. Processes are spawned: a forked one would carry whatever runs in this one."""
    if processes == 1:
        yield map(work, files)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield pool.imap(work, files, chunksize=CHUNK_FILES)
