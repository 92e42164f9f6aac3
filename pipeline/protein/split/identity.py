"""Complexes to splits so that no chain of one split is related to a chain of another (`rule` says what related is).

Related chains are families (`mmseqs`: MMseqs2 proposes pairs, exact alignment confirms them; `exact`: all pairs are looked at).
Complexes that share a family, or a group, are one component, dealt whole. What MMseqs2 missed is then found by looking at every chain
of each split with every chain of the others, and mended until nothing is found.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching

from pipeline.corpus.row import Row, Split
from pipeline.protein.split.alignment import aligner
from pipeline.protein.split.compared import by_kind, chains_of, kinds
from pipeline.protein.split.rule import Rule, checked_rule
from pipeline.protein.split.separator import separated
from pipeline.split.dealt import TOLERANCE, Dealt, deal
from pipeline.split.group import unit_keys

ACROSS: tuple[tuple[Split, Split], ...] = (("test", "train"), ("validation", "train"), ("validation", "test"))


class Search(Protocol):
    """``complete``: no related pair is in two families, and nothing has to be mended."""

    complete: bool

    def families(self, chains: Sequence[str], rule: Rule, *, workers: int) -> Int[np.ndarray, " C"]: ...

    def version(self) -> str: ...


class Identity:
    """``giant``: what becomes of a component too large for its share. ``whole``: it goes to train, as do components found related to
    it later. ``remove``: the fewest complexes whose removal frees as many rows as validation and test want (`separator`); later
    finds are moved, too, while validation and test stay near their shares; beyond, the fewest complexes go that cover them. Removed
    rows come back with split None.

    A complex is what shares a group (a PDB entry); rows without one stand alone. Rows of other tasks are tied by their ids.
    """

    def __init__(
        self,
        *,
        validation: float,
        test: float,
        seed: int,
        identity: float,
        coverage: float,
        coverage_of: Literal["both", "shorter"],
        giant: Literal["whole", "remove"],
        workers: int,
        search: Search,
    ) -> None:
        if min(validation, test) < 0 or validation + test >= 1:
            raise ValueError(
                f"validation and test are shares with a sum below 1, got {validation} and {test}; write 0.10 for 10 percent"
            )
        self.shares: dict[Split, float] = {"train": 1 - validation - test, "validation": validation, "test": test}
        self.seed = seed
        self.rule = checked_rule(identity, coverage, coverage_of)
        self.giant = giant
        self.workers = workers
        self.search = search
        self.dealt: Dealt | None = None

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """The rows, each with a split, or None where it was removed; ``dealt`` then says how it came out."""
        if fixed := next((row for row in rows if row.split is not None), None):
            raise ValueError(
                f"the identity split deals every row itself, but {fixed.query_id} comes with split {fixed.split!r}; "
                "set split (and columns.split) of the source to null, or choose another split"
            )
        units = _Units(rows)
        family = self.families(units.chains)
        families = [sorted({int(family[chain]) for chain in own}) for own in units.chains_of]
        wanted = (self.shares["validation"] + self.shares["test"]) * len(rows)
        apart = separated(families, [len(of) for of in units.rows_of], wanted) if self.giant == "remove" else None
        gone = set(apart.removed) if apart else set()
        component = _components(families, gone)
        members: dict[int, list[Row]] = {}
        for unit, of in enumerate(units.rows_of):
            if unit not in gone:
                members.setdefault(component[unit], []).extend(rows[i] for i in of)
        split_of, came_out = deal(members, self.shares, self.seed, largest=1.0)
        splits: list[Split | None] = [None if u in gone else split_of[component[u]] for u in range(len(families))]
        back = _put_back(families, splits)
        rounds, mended = (0, 0) if self.search.complete else self._mend(units, splits, component)
        found: list[Split | None] = [None] * len(rows)
        for unit, of in enumerate(units.rows_of):
            for i in of:
                found[i] = splits[unit]
        kept = [split for split in found if split is not None]
        got = {split: kept.count(split) / max(1, len(kept)) for split in self.shares}
        notes: dict[str, str | int | float] = {
            "mmseqs2": self.search.version() if units.chains else "not needed",
            "giant": self.giant,
            **by_kind(units.chains, kinds(rows)),
            "families": len(set(family.tolist())),
            "complexes": len(families),
            "complexes_removed_by_cut": len(gone) - back,
            "rows_freed_by_cut": apart.num_held_rows if apart else 0,
            "complexes_to_remove_for_all_rows_wanted": f"at least {max(0, ceil(apart.bound - 1e-9))}" if apart else "not asked",
            "complexes_mended": mended,
            "rounds_of_exact_search": rounds,
            "complexes_kept": sum(split is not None for split in splits),
            "rows_kept": len(kept),
        }
        self.dealt = replace(came_out, got={str(split): share for split, share in got.items()}, notes=notes)
        return [replace(row, split=split) for row, split in zip(rows, found, strict=True)]

    def families(self, chains: Sequence[str]) -> Int[np.ndarray, " C"]:
        """For each chain the number of its family."""
        few = len(chains) < 2
        return np.zeros(len(chains), np.int64) if few else self.search.families(chains, self.rule, workers=self.workers)

    def _mend(self, units: "_Units", splits: list[Split | None], component: list[int]) -> tuple[int, int]:
        """Changes ``splits`` until no chain is related to one of another split; rounds, and units that were moved or removed."""
        touched: set[int] = set()
        for rounds in range(1, len(splits) + 2):
            leaks = list(self._leaks(units, splits))
            if not leaks:
                return rounds, len(touched)
            to: dict[int, Split] = {component[unit]: other for other, pairs in reversed(leaks) for unit, _ in pairs}
            if self.giant == "remove":
                to = self._movable(units, splits, component, to)
            changed: list[tuple[int, Split | None]] = [
                (unit, to[component[unit]])
                for unit, split in enumerate(splits)
                if split not in (None, "train") and component[unit] in to
            ]
            left = [pair for _, pairs in leaks for pair in pairs if component[pair[0]] not in to]
            changed += [(unit, None) for unit in _cover(left)]
            touched |= {unit for unit, _ in changed}
            for unit, split in changed:
                splits[unit] = split
        raise AssertionError("every round moves a unit towards train, or out")

    def _movable(
        self, units: "_Units", splits: Sequence[Split | None], component: Sequence[int], to: dict[int, Split]
    ) -> dict[int, Split]:
        """Those of ``to`` that may move whole, which costs no complex: while their split stays within `TOLERANCE` of its share."""
        size: Counter[int] = Counter()
        held: Counter[Split] = Counter()
        of: dict[int, Split] = {}
        for unit, split in enumerate(splits):
            if split is not None:
                held[split] += len(units.rows_of[unit])
                if split != "train" and component[unit] in to:
                    size[component[unit]] += len(units.rows_of[unit])
                    of[component[unit]] = split
        room = {split: held[split] - (share - TOLERANCE) * held.total() for split, share in self.shares.items()}
        moved: dict[int, Split] = {}
        for one in sorted(of, key=lambda one: (size[one], one)):
            if size[one] <= room[of[one]]:
                room[of[one]] -= size[one]
                moved[one] = to[one]
        return moved

    def _leaks(self, units: "_Units", splits: Sequence[Split | None]) -> Iterator[tuple[Split, list[tuple[int, int]]]]:
        """For each two splits, where there are such: the second, and the pairs of units that hold related chains."""
        of_split = {split: units.chains_in(splits, split) for split in self.shares}
        for one, other in ACROSS:
            ours, theirs = of_split[one], of_split[other]
            hits = aligner(self.rule)(
                [units.chains[c] for c in ours], [units.chains[c] for c in theirs], workers=self.workers
            ).related(self.rule)
            holders, others = list(ours.values()), list(theirs.values())
            pairs = {
                (left, right)
                for i, j in zip(hits.left.tolist(), hits.right.tolist(), strict=True)
                for left in holders[i]
                for right in others[j]
            }
            if pairs:
                yield other, sorted(pairs)


class _Units:
    """Complexes: their rows and chains. ``chains``: each different chain once, sorted, so that a result hangs on no order of files."""

    def __init__(self, rows: Sequence[Row]) -> None:
        number: dict[str, int] = {}
        self.rows_of: list[list[int]] = []
        for i, key in enumerate(unit_keys(rows)):
            unit = number.setdefault(key, len(number))
            if unit == len(self.rows_of):
                self.rows_of.append([])
            self.rows_of[unit].append(i)
        own = [{chain for i in of for chain in chains_of(rows[i])} for of in self.rows_of]
        self.chains = sorted(set().union(*own))
        place = {chain: k for k, chain in enumerate(self.chains)}
        self.chains_of = [sorted(place[chain] for chain in one) for one in own]

    def chains_in(self, splits: Sequence[Split | None], split: Split) -> dict[int, list[int]]:
        """Chain -> the units of ``split`` that hold it, in the order of chains."""
        found: dict[int, list[int]] = {}
        for unit, own in enumerate(self.chains_of):
            if splits[unit] == split:
                for chain in own:
                    found.setdefault(chain, []).append(unit)
        return dict(sorted(found.items()))


def _components(families: Sequence[Sequence[int]], gone: set[int]) -> list[int]:
    """For each unit its component, over units that are not ``gone``; a unit without a family stands alone."""
    size = len(families) + 1 + max((family for own in families for family in own), default=0)
    ends = [(unit, len(families) + f) for unit, own in enumerate(families) if unit not in gone for f in own]
    left, right = (np.array([end[k] for end in ends], np.int64) for k in (0, 1))
    edges = coo_array((np.ones(len(ends), np.int8), (left, right)), shape=(size, size))
    return connected_components(edges, directed=False)[1][: len(families)].tolist()


def _put_back(families: Sequence[Sequence[int]], splits: list[Split | None]) -> int:
    """Gives each removed unit a split where all that share a family with it have one and the same, and counts these: what its removal
    freed was too large to be dealt anywhere but to train."""
    of_family: dict[int, set[Split]] = {}
    for own, split in zip(families, splits, strict=True):
        if split is not None:
            for family in own:
                of_family.setdefault(family, set()).add(split)
    num = 0
    for unit in [unit for unit, split in enumerate(splits) if split is None]:
        around = set[Split]().union(*(of_family.get(family, ()) for family in families[unit])) or {"train"}
        if len(around) == 1:
            (splits[unit],) = around
            for family in families[unit]:
                of_family.setdefault(family, set()).update(around)
            num += 1
    return num


def _cover(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The fewest units that touch every one of ``pairs``, exactly for two splits (Koenig 1931); validation and test count as one side,
    and what then remains between these two gives up its first."""
    left = sorted({one for one, _ in pairs})
    right = sorted({other for _, other in pairs} - set(left))
    at = {unit: k for k, unit in enumerate(left)}, {unit: k for k, unit in enumerate(right)}
    across = [(at[0][one], at[1][other]) for one, other in pairs if other in at[1]]
    inside = [one for one, other in pairs if other not in at[1]]
    if not across:
        return sorted(set(inside))
    rows, columns = (np.array([pair[k] for pair in across]) for k in (0, 1))
    graph = coo_array((np.ones(len(across), np.int8), (rows, columns)), shape=(len(left), len(right))).tocsr()
    partner = maximum_bipartite_matching(graph, perm_type="row")  # of each right unit its left one, or -1
    matched = set(partner.tolist())
    reached_left, reached_right = {k for k in range(len(left)) if k not in matched}, set()
    waiting = sorted(reached_left)
    while waiting:
        one = waiting.pop()
        for other in graph.indices[graph.indptr[one] : graph.indptr[one + 1]].tolist():
            if other not in reached_right:
                reached_right.add(other)
                if (back := int(partner[other])) >= 0 and back not in reached_left:
                    reached_left.add(back)
                    waiting.append(back)
    cover = {left[k] for k in range(len(left)) if k not in reached_left and graph.indptr[k] < graph.indptr[k + 1]}
    return sorted(cover | {right[k] for k in reached_right} | {one for one in inside if one not in cover})
