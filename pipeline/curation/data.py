"""Unfit rows and duplicates out, groups to splits, nothing of an evaluation row left in train; a reason for every row that went.

Rows are taken out of train where they are near an evaluation row, and out of a validation split that was dealt here where they
are near a test row. Evaluation rows whose split the source fixed stay as they are; what these share is counted, not mended.
Probe rows leave train before anything is trained (`curate.probe`), and what is near them leaves train too.
A control holds the kept rows dealt again by another split; its leaks are counted, and stop nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl

from pipeline.audit.words import Audit, Found
from pipeline.corpus.files import Dropped, corpora, dropped_row, read
from pipeline.corpus.row import SPLITS, Rejected, Row, Split
from pipeline.corpus.verdict import Verdict
from pipeline.split.contamination import Contamination
from pipeline.split.dealt import Dealt
from pipeline.split.group import unit_keys
from pipeline.split.set_aside import SetAside
from pipeline.task import kind_of

RAW = Path("data/raw")
HELD_OUT: tuple[Split, ...] = ("test", "validation")
GIVES_WAY: dict[Split, tuple[Split, ...]] = {"test": ("train", "validation"), "validation": ("train",)}
Normal = Callable[[str], str]
Measure = Callable[[Sequence[Row], Sequence[Row], Normal], dict[str, Any]]
BETWEEN = "removed to part the splits"  # rows that a split gave none
TIED, NEAR_PROBE = "tied to a probe row", "text of a probe row"
AS_GIVEN = "test in validation, both the sources' own"


class Dealer(Protocol):
    dealt: Dealt | None  # of the last call

    def __call__(self, rows: list[Row], /) -> list[Row]: ...


class CuratedData(pl.LightningDataModule):
    """Curates in `prepare_data`; afterwards ``rows`` and ``dropped`` hold the result by corpus, ``funnel`` how many rows each step
    left.

    It has no loaders, since stages meet through files: what is written of it is loaded by `pipeline.training.data.TrainingData` for
    trainings and by `pipeline.curation.held_out.HeldOut` for evaluations."""

    def __init__(
        self,
        normal: Normal,
        filters: Mapping[str, Callable[[Sequence[Row]], list[Verdict]]],
        dedup: Callable[[str, list[Row], Normal], tuple[list[Row], list[Dropped]]],
        split: Dealer,
        contamination: Contamination,
        audit: Audit,
        measures: Mapping[str, Measure],
        controls: Mapping[str, Dealer],
        set_aside: SetAside,
    ) -> None:
        super().__init__()
        self.normal = normal
        self.filters = filters
        self.dedup = dedup
        self.split = split
        self.contamination = contamination
        self.audit = audit
        self.measures = measures
        self.controls = controls
        self.set_aside = set_aside
        self.probe: dict[str, list[Row]] = {}  # by corpus; of split train, which they were taken from
        self.fixed: set[Row] = set()  # evaluation rows whose split the source fixed
        self.named: Counter[Split] = Counter()  # rows by the split that the source fixed
        self.rows: dict[str, list[Row]] = {}
        self.dropped: dict[str, list[Dropped]] = {}
        self.funnel: dict[str, list[tuple[str, int]]] = {}
        self.dealt: dict[str, Dealt | None] = {}

    def prepare_data(self) -> None:
        for corpus in corpora(RAW):
            rejected = read(RAW / corpus / "rejected.parquet", Rejected)
            self.dropped[corpus] = [
                Dropped(corpus, "", "not readable", f"{r.file}:{r.line}: {r.reason}", r.text, "") for r in rejected
            ]
            rows = [replace(row, thing=None) for row in read(RAW / corpus / "rows.parquet", Row)]
            self.funnel[corpus] = [("read", len(rows) + len(rejected)), ("readable", len(rows))]
            rows = self._filtered(corpus, rows)
            self.named.update(row.split for row in rows if row.split)
            self.fixed |= {row for row in rows if row.split in HELD_OUT}
            kept, repeated = self.dedup(corpus, rows, self.normal)
            self.dropped[corpus] += repeated
            self.rows[corpus] = self.split(kept)
            self.dealt[corpus] = self.split.dealt
            self.funnel[corpus] += [("fit", len(rows)), ("different", len(kept))]
            if between := [row for row in self.rows[corpus] if row.split is None]:
                self.dropped[corpus] += [dropped_row(corpus, row, BETWEEN) for row in between]
                self.rows[corpus] = [row for row in self.rows[corpus] if row.split is not None]
        self._drop(
            lambda rows: {
                i: (f"{row.task} row of a {row.split} group", None, 0.0)
                for i, row in enumerate(rows)
                if not kind_of(row).evaluated and row.split != "train"
            }
        )
        for held_out in HELD_OUT:
            evaluation = self._of(held_out)
            self._drop(lambda rows, held_out=held_out, evaluation=evaluation: self._given_away(rows, held_out, evaluation))
        self._take_probe()
        for corpus, rows in self.rows.items():
            self.funnel[corpus].append(("kept", len(rows)))

    def _take_probe(self) -> None:
        """Rows that no training reads: set aside, and then all of train goes that holds a text of theirs, or nearly one.

        Both sides are compared with both, whatever curate.contamination says: a row that an expert has seen would not be held out.
        """
        places = {corpus: [i for i, row in enumerate(rows) if row.split == "train"] for corpus, rows in self.rows.items()}
        chosen = self.set_aside({corpus: [self.rows[corpus][i] for i in own] for corpus, own in places.items()})
        for corpus, own in places.items():
            rows = self.rows[corpus]
            self.probe[corpus] = [rows[own[i]] for i in chosen.rows[corpus]]
            tied, gone = ({own[i] for i in part[corpus]} for part in (chosen.tied, chosen.rows))
            self.dropped[corpus] += [dropped_row(corpus, rows[i], TIED) for i in sorted(tied)]
            self.rows[corpus] = [row for i, row in enumerate(rows) if i not in tied | gone]
        probe = _texts([row for rows in self.probe.values() for row in rows])
        near = Contamination(match="text", neighbours=self.contamination.neighbours)

        def reasons(rows: list[Row]) -> dict[int, tuple[str, Row | None, float]]:
            train = [i for i, row in enumerate(rows) if row.split == "train"]
            twins = near(_texts([rows[i] for i in train]), probe, self.normal)
            return {
                i: (NEAR_PROBE if twin.similarity == 1 else f"near {NEAR_PROBE}", twin.row, twin.similarity)
                for i, twin in zip(train, twins, strict=True)
                if twin is not None
            }

        self._drop(reasons)

    def audited(self) -> dict[str, Found]:
        """What the audit finds between each two splits; ValueError, with the worst pairs, if that is too near, unless the source
        itself dealt both."""
        test, validation = self._of("test"), self._of("validation")
        given = [row for row in validation if row in self.fixed]
        pairs = {
            "test in train": (self._of("train"), test),
            "validation in train": (self._of("train"), validation),
            "test in validation": ([row for row in validation if row not in self.fixed], test),
            "probe in train": (self._of("train"), [row for rows in self.probe.values() for row in rows]),
            AS_GIVEN: (given, test),
        }
        found = {
            where: self.audit(_texts(left), _texts(right), self.normal)
            for where, (left, right) in pairs.items()
            if left and right
        }
        for where, one in found.items():
            if one.sharing and where != AS_GIVEN:
                shown = "".join(f"\n  {text!r}" for text in one.sharing[:3])
                raise ValueError(
                    f"audit, {where}: {len(one.sharing)} {one.things} share a stretch with what is there, "
                    f"expected none (curate.audit.stretches.forbid); take `split: stretch`, or forbid none. Some of them:{shown}"
                )
            if one.num_leaks and where != AS_GIVEN:
                worst = "".join(f"\n  {leak.similarity:.2f}  {leak.train!r}\n        {leak.evaluation!r}" for leak in one.worst)
                raise ValueError(
                    f"audit: {one.num_leaks} pairs of {one.things} between {where.replace(' in ', ' and ')} have a similarity of "
                    f"{self.audit.threshold} or more, expected none. {self.audit.remedy}. curate.contamination is "
                    f"{self.contamination.match!r} and looks for similarity {getattr(self.contamination.neighbours, 'threshold', 1)}; "
                    f"curate.audit.match is {self.audit.match!r}. The worst (train, then evaluation):{worst}"
                )
        return found

    def dealt_again(self) -> tuple[dict[str, dict[str, list[Row]]], dict[str, dict[str, Any]]]:
        """By control and corpus the kept rows with other splits, and how much of the held-out ones has something near in train.
        That is counted, not every pair: relatives of a random deal are hundreds of thousands."""
        found: dict[str, dict[str, list[Row]]] = {}
        counts: dict[str, dict[str, Any]] = {}
        for name, deal in sorted(self.controls.items()):
            found[name] = {c: deal([replace(row, split=None) for row in rows]) for c, rows in self.rows.items()}
            parts = {split: [row for rows in found[name].values() for row in rows if row.split == split] for split in SPLITS}
            for held_out in HELD_OUT:
                if parts["train"] and parts[held_out]:
                    where = f"{held_out} in train, dealt by {name}"
                    reached = self.audit.reached(_texts(parts["train"]), _texts(parts[held_out]), self.normal)
                    units = unit_keys(parts[held_out])
                    near = {unit for unit, one in zip(units, reached.near_rows, strict=True) if one}
                    counts[where] = {
                        **reached.texts,
                        **{f"{name}_near": near for name, near in reached.near.items()},
                        "rows": len(reached.near_rows),
                        "rows_near": sum(reached.near_rows),
                        "groups": len(set(units)),
                        "groups_near": len(near),
                    } | ({"stretches": reached.stretches} if reached.stretches else {})
        return found, counts

    def measured(self) -> dict[str, Any]:
        """What the measures say of train and each held-out split."""
        train = self._of("train")
        return {
            f"{held_out} {name} in train": measure(train, self._of(held_out), self.normal)
            for name, measure in sorted(self.measures.items())
            for held_out in HELD_OUT
        }

    def _of(self, split: Split) -> list[Row]:
        return [row for rows in self.rows.values() for row in rows if row.split == split]

    def _filtered(self, corpus: str, rows: list[Row]) -> list[Row]:
        """The rows that no filter objects to. Evaluation rows whose split the source fixed are not asked about."""
        for _, judge in sorted(self.filters.items()):
            asked = [i for i, row in enumerate(rows) if row.split not in HELD_OUT]
            verdicts = dict(zip(asked, judge([rows[i] for i in asked]), strict=True))
            faults = {i: fault for i, fault in verdicts.items() if fault is not None}
            self.dropped[corpus] += [dropped_row(corpus, rows[i], *fault) for i, fault in faults.items()]
            rows = [row for i, row in enumerate(rows) if i not in faults]
        return rows

    def _drop(self, reasons_of: Callable[[list[Row]], dict[int, tuple[str, Row | None, float]]]) -> None:
        """Move the rows that have a reason, ``(reason, twin, similarity)`` by place, from ``rows`` to ``dropped``."""
        for corpus, rows in self.rows.items():
            reasons = reasons_of(rows)
            self.rows[corpus] = [row for i, row in enumerate(rows) if i not in reasons]
            self.dropped[corpus] += [
                dropped_row(corpus, rows[i], reason, twin=twin, similarity=similarity)
                for i, (reason, twin, similarity) in reasons.items()
            ]

    def _given_away(self, rows: list[Row], held_out: Split, evaluation: list[Row]) -> dict[int, tuple[str, Row | None, float]]:
        open_ = [i for i, row in enumerate(rows) if row.split in GIVES_WAY[held_out] and row not in self.fixed]
        twins = self.contamination(_texts([rows[i] for i in open_]), _texts(evaluation), self.normal)
        return {
            i: (f"{'text' if twin.similarity == 1 else 'near text'} of a {held_out} row", twin.row, twin.similarity)
            for i, twin in zip(open_, twins, strict=True)
            if twin is not None
        }


def _texts(rows: list[Row]) -> list[Row]:
    """Rows as they are compared: the name of a class stands in every split and gives nothing away."""
    return [replace(row, document=row.query) if kind_of(row).shape == "labelled" else row for row in rows]
