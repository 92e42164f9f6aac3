"""Rows that leave train before anything is trained, so that merges can be tried on pairs that no expert has seen.

Whole groups are taken (`unit_keys`), in an order drawn from ``seed``. Of their rows those are kept that share no text with one kept
before, whatever their tasks, so any two parts of a probe are different texts. Price: the rest of a group is lost to both sides. Of
the default corpus, whose groups are families of modules, 256 rows of retrieval and of sts take 12 and 15 % of the train rows.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.corpus.row import Row, teaches
from pipeline.split.group import unit_keys
from pipeline.task import kind_of


class Aside(NamedTuple):
    """By corpus, which of its rows (by place) are set aside, and which are tied to these and are of no use to either side."""

    rows: dict[str, list[int]]
    tied: dict[str, list[int]]


class SetAside:
    """``rows``: how many of each task, over all corpora, and no more than that. ``share``: the most of a task's train rows that may
    leave for it, in [0, 1]."""

    def __init__(self, *, rows: Mapping[str, int], share: float, seed: int) -> None:
        if not 0 <= share <= 1 or min(rows.values(), default=0) < 0:
            raise ValueError(
                f"expected rows of at least 0 and a share in [0, 1], got {dict(rows)} and {share}; write 0.10 for 10 percent; "
                f"see curate.probe in conf/curate.yaml"
            )
        self.wanted = {task: num for task, num in rows.items() if num}
        self.share = share
        self.seed = seed

    def __call__(self, train: Mapping[str, Sequence[Row]]) -> Aside:
        """From train rows by corpus. ValueError where a task has fewer to give than are wanted."""
        if not self.wanted:
            return Aside({name: [] for name in train}, {name: [] for name in train})
        train = {name: list(rows) for name, rows in train.items()}
        num = Counter(row.task for rows in train.values() for row in rows)
        found = Aside({name: [] for name in train}, {name: [] for name in train})
        kept: Counter[str] = Counter()
        gone: Counter[str] = Counter()
        seen: set[str] = set()
        for name, members in self._units(train):
            of = train[name]
            size = Counter(of[i].task for i in members if kind_of(of[i]).evaluated)
            if not any(kept[task] < most and size[task] for task, most in self.wanted.items()):
                continue
            if any(gone[task] + size[task] > self.share * num[task] for task in size):
                continue
            gone += size
            behind = {task: kept[task] / wanted for task, wanted in self.wanted.items()}  # whose rows come first
            order = {
                i: (behind.get(of[i].task, 1.0), self._draw(of[i].task, of[i].query_id, of[i].document_id)) for i in members
            }
            for i in sorted(members, key=order.__getitem__):
                task, texts = of[i].task, {of[i].query, of[i].document}
                if kept[task] < self.wanted.get(task, 0) and teaches(of[i]) and not seen & texts:
                    found.rows[name].append(i)
                    kept[task] += 1
                    seen |= texts
                else:
                    found.tied[name].append(i)
        for task, wanted in self.wanted.items():
            if kept[task] < wanted:
                raise ValueError(
                    f"curate.probe.rows.{task}: expected {wanted} rows to set aside, found {kept[task]}: whole groups of different texts, "
                    f"at most {self.share:g} of its {num[task]} train rows; lower it (and pairs_per_task and batch_size under "
                    f"merge.<method>.probe with it), raise curate.probe.share, or set it to 0 and take the methods out that need a probe"
                )
        return found

    def _units(self, train: Mapping[str, Sequence[Row]]) -> list[tuple[str, list[int]]]:
        units: dict[tuple[str, str], list[int]] = {}
        for name, rows in train.items():
            for i, unit in enumerate(unit_keys(rows) if rows else []):
                units.setdefault((name, unit), []).append(i)
        return [(key[0], units[key]) for key in sorted(units, key=lambda key: self._draw(*key))]

    def _draw(self, *names: str) -> bytes:
        return hashlib.sha256(" ".join([str(self.seed), "probe", *names]).encode()).digest()
