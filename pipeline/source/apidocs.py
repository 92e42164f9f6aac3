"""Text pairs out of the docstrings of installed Python packages: real prose by people, on every machine, without a network.

The *document* of an object is what its docstring says before the first section, without its name. ``retrieval``: a question finds
the document of its object (`pipeline.corpus.asked`). ``weak``: a signature finds it. ``sts``: the summaries of two objects, graded 1
where they are linked and 0 where they are not though as many words are equal (`pipeline.corpus.linked`).
The links are the authors' judgement, but for namesakes; that a grade of 0 is unlinked does not prove that it is unrelated.

A *family* is the first two parts of the public module path (scipy.signal), three below the modules of ``deep_families``,
which are a large part of their package. That rule is ours. The document, or the left text, of a row is of the family that its
group names, so a split by group never parts them. A linked text may be of another package: where that is held out, curation
takes the row out of train.

The files are parsed, never imported. Price: text that only exists after import (ufuncs, generated docstrings) is missed.
"""

import importlib.metadata
import importlib.util
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

from pipeline.corpus.asked import KINDS, questions
from pipeline.corpus.documented import Documented, Parsed, parsed_file, public_objects, without_boilerplate
from pipeline.corpus.linked import Links, matched_pairs
from pipeline.corpus.row import Record, Row
from pipeline.stopping import workers

CHUNK_FILES = 16  # handed to a process at a time: large enough to hide the hand-over, small enough to end together


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
        max_words: int,
        max_repeats: int,
        questions: Mapping[str, int],
        min_question_words: int,
        max_shared: float,
        tolerance: float,
        processes: int,
    ) -> None:
        if processes < 1:
            raise ValueError(f"processes must be 1 or more, got {processes}; 1 reads without a pool")
        if not 0 < min_summary_words <= max_words:
            raise ValueError(f"expected 0 < min_summary_words <= max_words, got {min_summary_words}, {max_words}")
        if set(questions) != set(KINDS) or min(questions.values()) < 0:
            raise ValueError(
                f"questions must say how many of {', '.join(KINDS)} there are about an object, got {dict(questions)}"
            )
        if not 0 <= max_shared <= 1 or not 0 <= tolerance <= 1:
            raise ValueError(f"max_shared and tolerance are shares of words from 0 to 1, got {max_shared} and {tolerance}")
        self.packages = dict(packages)
        self.deep_families = tuple(deep_families)
        self.skip = frozenset(skip)
        self.min_summary_words = min_summary_words
        self.max_words = max_words
        self.max_repeats = max_repeats
        self.questions = dict(questions)
        self.min_question_words = min_question_words
        self.max_shared = max_shared
        self.tolerance = tolerance
        self.processes = processes

    def read(self) -> Iterator[Record]:
        owners = importlib.metadata.packages_distributions()
        files = [file for package in sorted(self.packages) for file in self._files(package, owners)]
        work = partial(parsed_file, deep_families=self.deep_families)
        objects: list[Documented] = []
        with _mapped(work, files, self.processes) as parsed:
            for _, group in groupby(parsed, key=lambda file: file.package):
                package = list(group)
                yield from (file.rejected for file in package if file.rejected)
                objects += without_boilerplate(public_objects(package), max_repeats=self.max_repeats)
        yield from self._rows([each for each in objects if len(each.prose.summary.split()) >= self.min_summary_words])

    def _files(self, package: str, owners: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """(folder that holds the package, path below it) of every Python file, in the order of the paths."""
        folder = package_folder(package, self.packages[package], owners)
        files = (path.relative_to(folder.parent) for path in folder.rglob("*.py"))
        return [(str(folder.parent), path.as_posix()) for path in sorted(files) if self.skip.isdisjoint(path.parts[1:])]

    def _rows(self, objects: Sequence[Documented]) -> Iterator[Row]:
        links = Links(objects)
        documents = {each.name: self._cut(" ".join((each.prose.summary, *each.prose.description))) for each in objects}
        for each in objects:
            if each.signature:
                ends = f"{each.name}#signature", self._cut(each.signature), each.name, documents[each.name]
                yield Row("weak", *ends, group=each.family, thing=each.name)
        limits = {"most": self.questions, "min_words": self.min_question_words, "max_shared": self.max_shared}
        told: Counter[tuple[str, str]] = Counter()
        for asked in questions(objects, links, documents, **limits):
            told[asked.about, asked.kind] += 1
            question = f"{asked.about}#{asked.kind}{told[asked.about, asked.kind]}", self._cut(asked.text)
            group = links.objects[asked.about].family
            yield Row("retrieval", *question, asked.about, documents[asked.about], group=group, thing=asked.about)
        for left, right, linked in matched_pairs(objects, links, tolerance=self.tolerance):
            texts = ((f"{each.name}#summary", self._cut(each.prose.summary)) for each in (left, right))
            yield Row("sts", *next(texts), *next(texts), float(linked), group=left.family)

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
    with workers():
        pool = multiprocessing.get_context("spawn").Pool(processes)
    with pool:
        yield pool.imap(work, files, chunksize=CHUNK_FILES)
