"""Counts what the rows of a held-out split share with train in parts (`stretch` says what a stretch is), related as wholes or not.

Residues in a row are looked for as plain text: every piece of the held-out sequences in a set, and the pieces of train one by one. The
split that forbids stretches finds them by other means (`stretch.same_letters`). A sequence is aligned with the most alike ones, and if
none of these shares a stretch, with all that score enough, which `screen` says exactly of every pair. Beside their count stands what
the same sequences reach against train read backwards, which shares composition and repeats with train, but no descent: chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from pipeline.corpus.row import Row
from pipeline.protein.split.alike import closest
from pipeline.protein.split.compared import by_kind, different, holding, kinds
from pipeline.protein.split.screen import may_score
from pipeline.protein.split.stretch import checked_stretch, windows
from pipeline.split.group import unit_keys

TRIED = 2  # most alike sequences that are aligned before all pairs are scored


@dataclass(frozen=True, slots=True)
class Shared:
    """``counts`` as leakage.json has them; ``leaks``: the held-out sequences that share a stretch where that is forbidden."""

    counts: dict[str, Any]
    leaks: set[str]


class Stretches:
    """``letters``: lengths of which counts are told, the first of which makes a stretch. ``forbid``: what of it is a leak: none, letters
    (residues in a row), or both (an alignment, too)."""

    def __init__(
        self,
        *,
        letters: Sequence[int],
        columns: int,
        identity: float,
        score: int,
        forbid: Literal["none", "letters", "both"],
        workers: int,
    ) -> None:
        if list(letters) != sorted(letters) or not letters:
            raise ValueError(f"letters must be lengths, the shortest first, got {list(letters)}")
        if forbid not in ("none", "letters", "both"):
            raise ValueError(f"forbid must be none, letters or both, got {forbid!r}")
        self.letters = list(letters)
        self.stretch = checked_stretch(letters[0], columns, identity, score)
        self.forbid = forbid
        self.workers = workers

    def __call__(self, train: Sequence[Row], evaluation: Sequence[Row], *, chance: bool) -> Shared:
        """Of the rows of ``evaluation`` and ``train``; ``chance``: also against train read backwards."""
        known, asked, kind = different(train), different(evaluation), kinds(evaluation)

        def told(found: Iterable[str]) -> dict[str, int]:
            return counted(evaluation, set(found), kind)

        same = {letters: with_same_letters(known, asked, letters) for letters in self.letters}
        aligned, num_aligned = self._aligned(known, asked)
        of_alignments: dict[str, Any] = {
            **{name: value for name, value in asdict(self.stretch).items() if name != "letters"},
            **told(aligned),
            "pairs": len(known) * len(asked),
            "pairs_aligned": num_aligned,
        }
        if chance:
            backwards, _ = self._aligned([chain[::-1] for chain in known], asked)
            of_alignments["by_chance"] = told(backwards)
        counts = {
            "of": told(asked),
            "residues_in_a_row": {str(letters): told(found) for letters, found in same.items()},
            "longest": longest(known, asked),
            "alignments": of_alignments,
        }
        leaks: dict[str, set[str]] = {"none": set(), "letters": same[self.letters[0]], "both": same[self.letters[0]] | aligned}
        return Shared(counts, leaks[self.forbid])

    def _aligned(self, train: list[str], held: list[str]) -> tuple[set[str], int]:
        """Those of ``held`` that align with one of ``train``, and how many pairs were aligned. Each is aligned until the first is found:
        with what is most alike, then with all that scores enough."""
        first, num_first = self._first(held, train, list(closest(held, train, TRIED)))
        left = [one for one in held if one not in first]
        pairs = may_score(left, train, self.stretch.score, workers=self.workers)
        partners = np.split(pairs[:, 1], np.searchsorted(pairs[:, 0], np.arange(1, max(1, len(left)))))
        then, num_then = self._first(left, train, partners)
        return first | then, num_first + num_then

    def _first(self, held: list[str], train: list[str], partners: Sequence[Int[np.ndarray, " k"]]) -> tuple[set[str], int]:
        """Those of ``held`` that align with one of their ``partners``, by place in ``train``, and how many pairs were aligned."""

        def tried(one: int) -> tuple[bool, int]:
            num = 0
            for j in partners[one].tolist():
                num += 1
                if self.stretch.aligns(held[one], train[j]):
                    return True, num
            return False, num

        with ThreadPoolExecutor(self.workers) as pool:
            found = list(pool.map(tried, range(len(held))))
        return {chain for chain, (one, _) in zip(held, found, strict=True) if one}, sum(num for _, num in found)


def in_words(counts: Mapping[str, Any]) -> str:
    """A sentence of `Shared.counts`, for people."""
    of, alignments = counts["of"], counts["alignments"]
    same = ", ".join(f"{letters} residues in a row {found['rows']}" for letters, found in counts["residues_in_a_row"].items())
    text = f"of {of['rows']} rows in {of['groups']} groups there share: {same} (the longest run has {counts['longest']}); "
    text += f"a local alignment of {alignments['columns']} columns at {alignments['identity']:.0%} that scores {alignments['score']} "
    text += f"or more {alignments['rows']}"
    return text + (
        f" ({alignments['by_chance']['rows']} by chance, with sequences read backwards)" if "by_chance" in alignments else ""
    )


def counted(rows: Sequence[Row], found: set[str], kind: Mapping[str, str]) -> dict[str, int]:
    """How many ``rows``, groups of them (PDB entries), and chains or sides hold one of ``found``."""
    near = holding(rows, found)
    groups = {unit for unit, one in zip(unit_keys(rows), near, strict=True) if one}
    return {"rows": sum(near), "groups": len(groups), **by_kind(found, kind)}


def with_same_letters(train: Iterable[str], held: Sequence[str], letters: int) -> set[str]:
    """Those of ``held`` that have ``letters`` residues in a row in common with one of ``train``."""
    asked = set().union(*(windows(chain, letters) for chain in held))
    hit = {piece for chain in train for i in range(len(chain) - letters + 1) if (piece := chain[i : i + letters]) in asked}
    return {chain for chain in held if not hit.isdisjoint(windows(chain, letters))} if hit else set()


def longest(train: Sequence[str], held: Sequence[str]) -> int:
    """Residues of the longest run that stands in one of ``train`` and one of ``held``."""
    low = max((len(chain) for chain in set(train) & set(held)), default=0)
    high = max(map(len, held), default=0)
    while low < high:
        length = min((low + high + 1) // 2, 2 * low + 16)
        if found := with_same_letters(
            [one for one in train if len(one) >= length], [one for one in held if len(one) >= length], length
        ):
            low, held = length, sorted(found)
        else:
            high = length - 1
    return low
