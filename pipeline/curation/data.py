"""Unfit rows and duplicates out, groups to splits, nothing of an evaluation row left in train; a reason for every row that went.

Rows are taken out of train where they are near an evaluation row, and out of a validation split that was dealt here where they
are near a test row. Evaluation rows whose split the source fixed stay as they are; what these share is counted, not mended.
Probe rows leave train before anything is trained (`curate.probe`), and what is near them leaves train too.
A control holds the kept rows dealt again by another split; its leaks are counted, and stop nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pytorch_lightning as pl
from jaxtyping import Bool, Float

from pipeline.audit.words import Audit, Found
from pipeline.corpus.compared import Compared
from pipeline.corpus.dropped import DroppedRows, dropped_rows
from pipeline.corpus.files import Dropped, corpora, read
from pipeline.corpus.records import (
    Records,
    Rows,
    compute,
    is_in,
    joined,
    of_kinds,
    read_records,
    splits_of,
    tallied,
    written_out,
)
from pipeline.corpus.row import SPLITS, Rejected, Row, Split
from pipeline.corpus.verdict import Verdict
from pipeline.split.contamination import Contamination, Twins
from pipeline.split.dealt import Dealt
from pipeline.split.group import unit_keys
from pipeline.split.set_aside import SetAside

RAW = Path("data/raw")
HELD_OUT: tuple[Split, ...] = ("test", "validation")
GIVES_WAY: dict[Split, tuple[Split, ...]] = {"test": ("train", "validation"), "validation": ("train",)}
Normal = Callable[[str], str]
Measure = Callable[[Sequence[Row], Sequence[Row], Normal], dict[str, Any] | None]
BETWEEN = "removed to part the splits"  # rows that a split gave none
TIED, NEAR_PROBE = "tied to a probe row", "text of a probe row"
DOCUMENT_OF = (("document", "query"), ("#document", "#query"))
AS_GIVEN = "test in validation, both the sources' own"


class Dealer(Protocol):
    dealt: Dealt | None  # of the last call

    def __call__(self, rows: Sequence[Row], /) -> Sequence[Row]: ...


class CuratedData(pl.LightningDataModule):
    """Curates in `prepare_data`; afterwards ``rows`` and ``dropped`` hold the result by corpus, ``funnel`` how many rows each step
    left.

    It has no loaders, since stages meet through files: what is written of it is loaded by `pipeline.training.data.TrainingData` for
    trainings and by `pipeline.curation.held_out.HeldOut` for evaluations."""

    def __init__(
        self,
        normal: Normal,
        filters: Mapping[str, Callable[[Sequence[Row]], list[Verdict]]],
        dedup: Callable[[str, Sequence[Row], Normal], tuple[Sequence[Row], Sequence[Dropped]]],
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
        self.texts = Compared(normal)
        self.probe: dict[str, Rows] = {}  # by corpus; of split train, which they were taken from
        self.named: Counter[Split] = Counter()  # rows by the split that the source fixed
        self.rows: dict[str, Rows] = {}  # noted "fixed": evaluation rows whose split the source fixed
        self.dropped: dict[str, DroppedRows] = {}
        self.funnel: dict[str, list[tuple[str, int]]] = {}
        self.dealt: dict[str, Dealt | None] = {}

    def prepare_data(self) -> None:
        raw = {
            corpus: self.texts.numbered(_readable(corpus)) for corpus in corpora(RAW)
        }  # all texts first: near ones are sought once
        for corpus in list(raw):
            self._curate(corpus, self.texts.referring(raw.pop(corpus)))
        for corpus, rows in self.rows.items():
            out = ~of_kinds(rows, lambda kind: kind.evaluated) & (splits_of(rows) != SPLITS.index("train"))
            task, split = (rows.columns[name].filter(pa.array(out)).to_pylist() for name in ("task", "split"))
            self._drop(corpus, out, [f"{of} row of a {where} group" for of, where in zip(task, split, strict=True)])
        for held_out in HELD_OUT:
            evaluation = _texts(self._of(held_out))
            for corpus in self.rows:
                self._give_way(corpus, held_out, evaluation)
        self._take_probe()
        for corpus, rows in self.rows.items():
            self.funnel[corpus].append(("kept", len(rows)))

    def _curate(self, corpus: str, rows: Rows) -> None:
        rejected = read(RAW / corpus / "rejected.parquet", Rejected)
        self.dropped[corpus] = Records.of(
            Dropped, [Dropped(corpus, "", "not readable", f"{r.file}:{r.line}: {r.reason}", r.text, "") for r in rejected]
        )
        self.funnel[corpus] = [("read", len(rows) + len(rejected)), ("readable", len(rows))]
        rows = self._filtered(corpus, rows)
        self.named.update({split: n for split, n in tallied(rows.columns["split"]).items() if split})
        kept, repeated = self.dedup(corpus, handed(self.dedup, rows), self.texts)
        kept = self.texts.numbered(Records.of(Row, kept))
        self.dropped[corpus] += repeated
        self.funnel[corpus] += [("fit", len(rows)), ("different", len(kept))]
        fixed = is_in(kept.columns["split"], HELD_OUT)
        self.rows[corpus] = _dealt(self.split, kept).replaced(**{"#fixed": pa.array(fixed)})
        self.dealt[corpus] = self.split.dealt
        self._drop(corpus, splits_of(self.rows[corpus]) < 0, BETWEEN)

    def _take_probe(self) -> None:
        """Rows that no training reads: set aside, and then all of train goes that holds a text of theirs, or nearly one.

        Both sides are compared with both, whatever curate.contamination says: a row that an expert has seen would not be held out.
        """
        places = {corpus: np.flatnonzero(splits_of(rows) == SPLITS.index("train")) for corpus, rows in self.rows.items()}
        chosen = self.set_aside({corpus: self.rows[corpus].take(own) for corpus, own in places.items()})
        for corpus, own in places.items():
            rows = self.rows[corpus]
            aside, tied = (own[np.array(part[corpus], np.int64)] for part in (chosen.rows, chosen.tied))
            self.probe[corpus] = rows.take(aside)
            self.dropped[corpus] += dropped_rows(corpus, rows.take(np.sort(tied)), TIED)
            self.rows[corpus] = rows.where(~np.isin(np.arange(len(rows)), np.concatenate([aside, tied])))
        probe = _texts(joined(Row, list(self.probe.values())))
        near = Contamination(match="text", neighbours=self.contamination.neighbours)
        for corpus, rows in self.rows.items():
            open_ = splits_of(rows) == SPLITS.index("train")
            self._drop_twins(
                corpus, open_, near(_texts(rows.where(open_)), probe, self.texts), probe, NEAR_PROBE, f"near {NEAR_PROBE}"
            )

    def audited(self) -> dict[str, Found]:
        """What the audit finds between each two splits; ValueError, with the worst pairs, if that is too near, unless the source
        itself dealt both."""
        train, test, validation = (_texts(self._of(split)) for split in ("train", "test", "validation"))
        fixed = _fixed(validation)
        pairs = {
            "test in train": (train, test),
            "validation in train": (train, validation),
            "test in validation": (validation.where(~fixed), test),
            "probe in train": (train, _texts(joined(Row, list(self.probe.values())))),
            AS_GIVEN: (validation.where(fixed), test),
        }
        found = {
            where: self.audit(handed(self.audit, left), handed(self.audit, right), self.texts)
            for where, (left, right) in pairs.items()
            if len(left) and len(right)
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

    def dealt_again(self) -> tuple[dict[str, dict[str, Rows]], dict[str, dict[str, Any]]]:
        """By control and corpus the kept rows with other splits, and how much of the held-out ones has something near in train.
        That is counted, not every pair: relatives of a random deal are hundreds of thousands."""
        found: dict[str, dict[str, Rows]] = {}
        counts: dict[str, dict[str, Any]] = {}
        for name, deal in sorted(self.controls.items()):
            found[name] = {
                corpus: _dealt(deal, rows.replaced(split=pa.nulls(len(rows), pa.large_string())))
                for corpus, rows in self.rows.items()
            }
            every = joined(Row, list(found[name].values()))
            parts = {split: every.where(splits_of(every) == place) for place, split in enumerate(SPLITS)}
            for held_out in HELD_OUT:
                if len(parts["train"]) and len(parts[held_out]):
                    counts[f"{held_out} in train, dealt by {name}"] = self._reached(parts["train"], parts[held_out])
        return found, counts

    def _reached(self, train: Rows, held_out: Rows) -> dict[str, Any]:
        known, asked = (handed(self.audit, _texts(rows)) for rows in (train, held_out))
        reached = self.audit.reached(known, asked, self.texts)
        units = unit_keys(held_out)
        near = {unit for unit, one in zip(units, reached.near_rows, strict=True) if one}
        return {
            **reached.texts,
            **{f"{name}_near": near for name, near in reached.near.items()},
            "rows": len(reached.near_rows),
            "rows_near": sum(reached.near_rows),
            "groups": len(set(units)),
            "groups_near": len(near),
        } | ({"stretches": reached.stretches} if reached.stretches else {})

    def measured(self) -> dict[str, Any]:
        """What the measures say of train and each held-out split; one that says None was not taken."""
        if not self.measures:
            return {}
        parts = {split: self._of(split) for split in SPLITS}
        found: dict[str, Any] = {}
        for name, measure in sorted(self.measures.items()):
            for held_out in HELD_OUT:
                one = measure(handed(measure, parts["train"]), handed(measure, parts[held_out]), self.texts)
                if one is not None:
                    found[f"{held_out} {name} in train"] = one
        return found

    def _of(self, split: Split) -> Rows:
        return joined(Row, [rows.where(splits_of(rows) == SPLITS.index(split)) for rows in self.rows.values()])

    def _filtered(self, corpus: str, rows: Rows) -> Rows:
        """The rows that no filter objects to. Evaluation rows whose split the source fixed are not asked about."""
        for _, judge in sorted(self.filters.items()):
            asked = ~is_in(rows.columns["split"], HELD_OUT)
            verdicts = judge(handed(judge, rows.where(asked)))
            faults = [(i, fault) for i, fault in zip(np.flatnonzero(asked), verdicts, strict=True) if fault is not None]
            if faults:
                gone = np.array([i for i, _ in faults])
                reasons, details = ([fault[k] for _, fault in faults] for k in (0, 1))
                self.dropped[corpus] += dropped_rows(corpus, rows.take(gone), reasons, details)
                rows = rows.where(~np.isin(np.arange(len(rows)), gone))
        return rows

    def _drop(
        self,
        corpus: str,
        out: Bool[np.ndarray, " R"],
        reasons: str | Sequence[str],
        *,
        twins: Rows | None = None,
        similarity: Float[np.ndarray, " G"] | None = None,
    ) -> None:
        """Move the rows that are ``out`` from ``rows`` to ``dropped``; the rest says it of each of these."""
        if out.any():
            gone = self.rows[corpus].where(out)
            self.dropped[corpus] += dropped_rows(corpus, gone, reasons, twins=twins, similarity=similarity)
            self.rows[corpus] = self.rows[corpus].where(~out)

    def _drop_twins(self, corpus: str, open_: Bool[np.ndarray, " R"], found: Twins, twins: Rows, equal: str, near: str) -> None:
        """Drop the ``open_`` rows that give one of ``twins`` away."""
        out = np.zeros(len(open_), bool)
        out[np.flatnonzero(open_)[found.place >= 0]] = True
        place, similarity = (one[found.place >= 0] for one in found)
        reasons = np.where(similarity == 1, equal, near).tolist()
        self._drop(corpus, out, reasons, twins=twins.take(place), similarity=similarity)

    def _give_way(self, corpus: str, held_out: Split, evaluation: Rows) -> None:
        rows = self.rows[corpus]
        open_ = is_in(rows.columns["split"], GIVES_WAY[held_out]) & ~_fixed(rows)
        found = self.contamination(_texts(rows.where(open_)), evaluation, self.texts)
        self._drop_twins(corpus, open_, found, evaluation, f"text of a {held_out} row", f"near text of a {held_out} row")


def handed(part: object, rows: Rows) -> Sequence[Row]:
    """``rows`` as ``part`` of curation takes them: columns where it says so, else plain objects."""
    return rows if getattr(part, "by_column", False) else list(rows)


def _readable(corpus: str) -> Rows:
    rows = read_records(RAW / corpus / "rows.parquet", Row)
    return rows.replaced(thing=pa.nulls(len(rows), pa.large_string()))


def _dealt(deal: Dealer, rows: Rows) -> Rows:
    """``rows``, each with the split that ``deal`` gives it."""
    found = deal(handed(deal, rows))
    if not isinstance(found, Records):
        found = Records.of(Row, found)
    if len(found) != len(rows) or any(
        not written_out(found.columns[name]).equals(written_out(rows.columns[name])) for name in ("query_id", "document_id")
    ):
        raise ValueError(
            f"{type(deal).__name__}: expected every row, in the order given, each with its split; got {len(found)} of {len(rows)} rows or "
            f"another order; let it return `[dataclasses.replace(row, split=...) for row in rows]`"
        )
    return rows.replaced(split=found.columns["split"])


def _fixed(rows: Rows) -> Bool[np.ndarray, " R"]:
    """Which are evaluation rows whose split the source fixed."""
    noted = rows.noted("fixed")
    return np.zeros(len(rows), bool) if noted is None else noted


def _texts(rows: Rows) -> Rows:
    """Rows as they are compared: the name of a class stands in every split and gives nothing away."""
    labelled = of_kinds(rows, lambda kind: kind.shape == "labelled")
    if not labelled.any():
        return rows
    mask = pa.array(labelled)
    rows = rows.replaced(**{side: written_out(rows.columns[side]) for side in ("query", "document")})
    sides = {
        name: compute.if_else(mask, rows.columns[other], rows.columns[name])
        for name, other in DOCUMENT_OF
        if name in rows.columns
    }
    return rows.replaced(**sides)
