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

import hashlib
import importlib.metadata
import importlib.util
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from pipeline.corpus.documented import Documented, Parsed, parsed_file, public_objects, without_boilerplate
from pipeline.corpus.row import Record, Row

CHUNK_FILES = 16  # handed to a process at a time: large enough to hide the hand-over, small enough to end together


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
