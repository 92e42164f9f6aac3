"""Whole groups to splits: rows of one group, or rows tied by a query or a document, never straddle two splits."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.records import Records, Rows, compute, of_kinds, splits_of, teaching, with_splits
from pipeline.corpus.row import SPLITS, Row, Split
from pipeline.split.dealt import Dealt, dealt, most_of_a_unit


class Group:
    """Deals groups, in an order drawn from ``seed``, to test and validation while they fit, and the rest to train.

    ``validation`` and ``test`` are shares of the rows of each task that is evaluated; others are not counted. A group that does
    not fit goes to train whole, and so does one with more than ``largest`` of the rows of a task that the split shall have, unless
    smaller ones cannot fill it: scores are to be of many groups. Rows whose split the source fixed keep it, and the open rows of
    their groups follow; where such a source has train but no validation rows, validation is taken from its train rows.
    """

    by_column = True

    def __init__(self, *, validation: float, test: float, largest: float, seed: int) -> None:
        if min(validation, test) < 0 or validation + test >= 1:
            raise ValueError(
                f"validation and test are shares with a sum below 1, got {validation} and {test}; write 0.10 for 10 percent"
            )
        if not 0 < largest <= 1:
            raise ValueError(f"largest is a share of a split's rows in (0, 1], got {largest}; write 0.10 for 10 percent")
        self.validation = validation
        self.test = test
        self.largest = largest
        self.seed = seed
        self.dealt: Dealt | None = None

    def __call__(self, rows: Sequence[Row]) -> Rows:
        """The rows, each with a split; ``dealt`` then says how it came out."""
        table = Records.of(Row, rows)
        split = splits_of(table)
        fixed = {SPLITS[one] for one in np.unique(split[split >= 0]).tolist()}
        shares: dict[Split, float] = {"validation": self.validation}
        if not fixed:
            shares["test"] = self.test
        open_ = split < 0 if "validation" in fixed else split <= SPLITS.index("train")
        follow = _follow(table, split, open_)
        movable = open_ & (follow < 0)
        split[follow >= 0] = follow[follow >= 0]
        split[movable] = self._deal(table.where(movable), shares)
        return with_splits(table, split)

    def _deal(self, rows: Rows, shares: dict[Split, float]) -> Int[np.ndarray, " R"]:
        """For each row the place of its split in `SPLITS`."""
        unit, names = units(rows)
        task, tasks = rows.codes("task")
        counted = of_kinds(rows, lambda kind: kind.evaluated)
        needs = np.zeros((len(names), len(tasks)), np.int64)  # rows of each task that each unit holds
        np.add.at(needs, (unit[counted], task[counted]), 1)
        held = [t for t in range(len(tasks)) if needs[:, t].any()]
        room: dict[Split, dict[str, float]] = {
            split: {tasks[t]: share * int(needs[:, t].sum()) for t in held} for split, share in shares.items()
        }
        needs, tasks = needs[:, held], [tasks[t] for t in held]
        room = _as_there_is(room, needs, tasks)
        most = most_of_a_unit({task: of[of > 0].tolist() for task, of in zip(tasks, needs.T, strict=True)}, room, self.largest)
        given: Counter[Split] = Counter()
        sizes = needs.sum(axis=1)
        order = self._turns(names, needs)
        split_of = np.full(len(names), SPLITS.index("train"))
        for one, need in zip(order, needs[order].tolist(), strict=True):
            wanted = [(task, n) for task, n in zip(tasks, need, strict=True) if n]
            split: Split = "train"  # a unit without rows that are evaluated would be lost elsewhere
            for fit in sorted(room) if wanted else ():
                if all(min(room[fit][task], most[fit][task]) >= n for task, n in wanted):
                    split = fit
                    for task, n in wanted:
                        room[fit][task] -= n
                    break
            given[split] += int(sizes[one])
            split_of[one] = SPLITS.index(split)
        whole: dict[Split, float] = {"train": 1 - sum(shares.values()), **shares}
        in_turn = sizes[order].tolist()
        total = sum(in_turn)
        self.dealt = dealt(whole, given, in_turn, [n for n in in_turn if n > whole["train"] * total])
        return split_of[unit]

    def _turns(self, names: Sequence[str], needs: Int[np.ndarray, "U T"]) -> list[int]:
        """Units in the order in which they are dealt: first those of the task that fewest hold, or others would take up their room."""
        holding = (needs > 0).sum(axis=0)  # how many units hold rows of a task
        rarest = np.where(needs > 0, holding, len(names)).min(axis=1, initial=len(names)).tolist()
        drawn = [hashlib.sha256(f"{self.seed} {name}".encode()).digest() for name in names]
        return sorted(range(len(names)), key=lambda unit: (rarest[unit], drawn[unit]))


def _as_there_is(
    room: dict[Split, dict[str, float]], needs: Int[np.ndarray, "U T"], tasks: Sequence[str]
) -> dict[Split, dict[str, float]]:
    """``room`` itself, or less where one large unit leaves too few rows in those that fit: else one split would take them all."""
    wanted = {task: sum(wants[task] for wants in room.values()) for task in tasks}
    highest = np.array([max(wants[task] for wants in room.values()) for task in tasks])
    there = dict(zip(tasks, needs[(needs <= highest).all(axis=1)].sum(axis=0).tolist(), strict=True))
    scale = {task: min(1.0, there[task] / n) if n and there[task] else 1.0 for task, n in wanted.items()}
    return {split: {task: n * scale[task] for task, n in wants.items()} for split, wants in room.items()}


def _follow(rows: Rows, split: Int[np.ndarray, " R"], open_: np.ndarray) -> Int[np.ndarray, " R"]:
    """For open rows of a group whose split is fixed: that split; train where the source itself straddles. -1 for all others."""
    group, names = rows.codes("group")
    named = np.array([name is not None for name in names], bool)[group] if names else np.zeros(len(rows), bool)
    found = np.zeros((len(names), len(SPLITS)), bool)  # splits of each group
    fixed = ~open_ & named
    found[group[fixed], split[fixed]] = True
    num_found = found.sum(axis=1)
    of_group = np.where(num_found == 1, found.argmax(axis=1), SPLITS.index("train"))
    return np.where((split < 0) & named & (num_found > 0)[group], of_group[group], -1) if names else np.full(len(rows), -1)


def unit_keys(rows: Sequence[Row]) -> list[str]:
    """The name of each row's unit (`units`)."""
    unit, names = units(Records.of(Row, rows))
    return [names[one] for one in unit.tolist()]


def units(rows: Rows) -> tuple[Int[np.ndarray, " R"], list[str]]:
    """For each row its unit: the smallest set of rows closed under: same group, same query id, same document id. And the units' names.

    A row with a group is tied by its group alone: shared texts between groups are contamination, removed after the split.
    One that says what does not answer is tied by its query alone: many queries share a negative, which would tie them all.
    """
    loose = rows.columns["group"].is_null().to_numpy(zero_copy_only=False)
    groups = compute.dictionary_encode(rows.columns["group"].filter(pa.array(~loose)))
    unit = np.zeros(len(rows), np.int64)
    unit[~loose] = groups.indices.to_numpy()
    names = [f"g {name}" for name in groups.dictionary.to_pylist()]
    if loose.any():
        own = rows.where(loose)
        answers = teaching(own) | ~of_kinds(own, lambda kind: kind.shape == "ranked")
        query, document = (compute.dictionary_encode(own.columns[side]) for side in ("query_id", "document_id"))
        component, of_components = _components(query, document, answers)
        unit[loose] = len(names) + component
        names += of_components
    return unit, names


def _components(query: pa.Array, document: pa.Array, tied: np.ndarray) -> tuple[Int[np.ndarray, " R"], list[str]]:
    """Rows that share a query, or, where they are ``tied`` to it, a document: each row's component, and the name of each, which is its
    first document's, or query's where it has none."""
    ends = [(one.indices.to_numpy().astype(np.int64), one.dictionary) for one in (query, document)]
    (left, queries), (right, documents) = ends
    size = len(queries) + len(documents)
    edges = coo_array((np.ones(int(tied.sum()), np.int8), (left[tied], len(queries) + right[tied])), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    used, unit = np.unique(component[left], return_inverse=True)
    place = np.full(int(component.max(initial=-1)) + 1, -1)
    place[used] = np.arange(len(used))
    names = [""] * len(used)
    for mark, known, first, seen in (("q", queries, 0, left), ("d", documents, len(queries), right[tied])):
        there = np.unique(seen)
        order = compute.sort_indices(known.take(pa.array(there))).to_numpy()[::-1]  # the first one is written last
        for end, name in zip(there[order].tolist(), known.take(pa.array(there[order])).to_pylist(), strict=True):
            names[place[component[first + end]]] = f"{mark} {name}"
    return unit, names
