"""Which documented objects are alike by their authors' word, and which objects, worded no less alike, are not.

Two objects are *linked* if one names the other in its See Also (in one family, or in two packages), or if they are *namesakes*:
functions of two packages with one name and at least one parameter of one name. That namesakes do the same is our guess.
"""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from pipeline.corpus.documented import Documented, public_module
from pipeline.corpus.wording import content_words, overlap


class Links:
    """The links among ``objects`` of any number of packages: ``pairs`` of names, sorted, and ``neighbours`` by name."""

    def __init__(self, objects: Sequence[Documented]) -> None:
        self.objects = {each.name: each for each in objects}
        self.by_ending: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in self.objects:
            package, *parts = name.split(".")
            for start in range(len(parts)):
                self.by_ending[package, ".".join(parts[start:])].append(name)
        named = ((each, self.resolved(each, mention.name)) for each in objects for mention in each.prose.see_also)
        also = {(a.name, b.name) for a, b in named if b is not None and (a.family == b.family or a.package != b.package)}
        self.pairs = sorted({(min(pair), max(pair)) for pair in {*also, *namesakes(objects)} if pair[0] != pair[1]})
        self.neighbours: dict[str, set[str]] = defaultdict(set)
        for left, right in self.pairs:
            self.neighbours[left].add(right)
            self.neighbours[right].add(left)

    def resolved(self, at: Documented, name: str) -> Documented | None:
        """``name`` as written in the See Also of ``at``: seen from there outwards, else the one object whose name ends so in
        its package, else in the package that ``name`` begins with. None where there is no such object, or more than one."""
        parts = at.name.split(".")
        for depth in range(len(parts) - 1, -1, -1):
            if (full := ".".join([*parts[:depth], name])) in self.objects:
                return self.objects[full]
        package, _, rest = name.partition(".")
        for key in ((at.package, name), (package, rest)):
            if len(ending := self.by_ending.get(key, [])) == 1:
                return self.objects[ending[0]]
        return None


def namesakes(objects: Sequence[Documented]) -> Iterator[tuple[str, str]]:
    """Pairs of functions or classes of two packages that are called alike, and whose signatures share the name of a parameter."""
    by_name: dict[str, list[Documented]] = defaultdict(list)
    for each in objects:
        above, _, last = each.name.rpartition(".")
        if each.signature and above == public_module(each.module):  # methods called alike belong to what may be anything
            by_name[last].append(each)
    for alike in by_name.values():
        for left, right in combinations(alike, 2):
            if left.package != right.package and parameters(left) & parameters(right):
                yield left.name, right.name


def parameters(of: Documented) -> set[str]:
    """The names of its parameters, without ``*args`` and ``**kwargs``."""
    (function,) = ast.parse(f"def {of.signature}: ...").body
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    return {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}


def matched_pairs(
    objects: Sequence[Documented], links: Links, *, tolerance: float
) -> Iterator[tuple[Documented, Documented, bool]]:
    """For each link ``(left, right, True)``, and with it ``(left, other, False)`` of ``left``'s family.

    ``other`` has no link to ``left``, shares no linked object with it, and its summary has as many words in common with that of
    ``left`` as the summary of ``right`` has, within ``tolerance`` of all words of both. So words that are equal do not tell the
    linked from the others. A link for which there is no such object is left out, as is one between equal summaries.
    """
    words = {each.name: content_words(each.prose.summary) for each in objects}
    by_family: dict[str, list[Documented]] = defaultdict(list)
    for each in objects:
        by_family[each.family].append(each)
    used = set(links.pairs)
    for left_name, right_name in links.pairs:
        left, right = links.objects[left_name], links.objects[right_name]
        if left.prose.summary == right.prose.summary:
            continue
        aim = overlap(words[left_name], words[right_name])
        best: tuple[tuple[float, bool, bytes], Documented] | None = None
        for other in by_family[left.family]:
            far = abs(overlap(words[left_name], words[other.name]) - aim)
            if far > tolerance or (best is not None and far > best[0][0]) or not _unlinked(left, right, other, links, used):
                continue
            key = (
                far,
                other.module != left.module,
                hashlib.blake2b(f"{left_name} {other.name}".encode(), digest_size=8).digest(),
            )
            if best is None or key < best[0]:
                best = key, other
        if best is not None:
            used.add(_ordered(left, best[1]))
            yield left, right, True
            yield left, best[1], False


def _unlinked(left: Documented, right: Documented, other: Documented, links: Links, used: set[tuple[str, str]]) -> bool:
    neighbours = links.neighbours
    return (
        other.name != left.name
        and _ordered(left, other) not in used
        and neighbours[left.name].isdisjoint(neighbours.get(other.name, ()))
        and other.prose.summary not in (left.prose.summary, right.prose.summary)
    )


def _ordered(left: Documented, right: Documented) -> tuple[str, str]:
    return min(left.name, right.name), max(left.name, right.name)
