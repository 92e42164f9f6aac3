"""curate: unfit rows and duplicates out, groups to splits, nothing of an evaluation row left in train; a reason for every row that
went, and an audit by other means that lets nothing through.

Reads:  data/raw/
Writes: data/curated/<corpus>/{train,validation,test,probe,documents,dropped}.parquet, card.json; data/curated/leakage.json;
        data/curated/<corpus>/controls/<name>/{train,validation,test}.parquet

Rows are taken out of train where they are near an evaluation row, and out of a validation split that was dealt here where they
are near a test row. Evaluation rows whose split the source fixed stay as they are; what these share is counted, not mended.
Probe rows leave train before anything is trained (`curate.probe`), and what is near them leaves train too.
A control holds the kept rows dealt again by another split; its leaks are counted, and stop nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl

from pipeline.build import build
from pipeline.checkpoint import read_json, sha256, whole_directory, write_json
from pipeline.corpus.files import Dropped, corpora, deal_folder, dropped_row, read, write
from pipeline.corpus.row import SPLITS, Document, Rejected, Row, Split
from pipeline.corpus.verdict import Verdict
from pipeline.protein.split.shared import in_words
from pipeline.split.audit import Audit, Found
from pipeline.split.contamination import Contamination
from pipeline.split.dealt import Dealt
from pipeline.split.group import unit_keys
from pipeline.split.set_aside import SetAside
from pipeline.task import kind_of

RAW = Path("data/raw")
HELD_OUT: tuple[Split, ...] = ("test", "validation")
ONE_FAMILY = 0.2  # of the rows of an evaluated task: above it a line says that scores are mostly one group's
SMALL_UNIT = 0.05  # of all rows: where no unit of tied rows is smaller, there are too few of them to fill a held-out split
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
    left."""

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


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["curate"]
    data = CuratedData(
        build(section["normal"]),
        {name: build(node) for name, node in section["filters"].items()},
        build(section["dedup"]),
        build(section["split"]),
        Contamination(match=section["contamination"], neighbours=build(section["near"])),
        build(section["audit"]),
        {name: build(node) for name, node in section["measures"].items()},
        {name: build(node) for name, node in section["controls"].items()},
        build(section["probe"]),
    )
    data.prepare_data()
    _check_rows(data, cfg["tasks"])
    leakage = {where: found.as_json() for where, found in data.audited().items()} | data.measured()
    controls, reached = data.dealt_again()
    for where, counts in reached.items():
        shares = ", ".join(f"{counts[f'{of}_near']} of {counts[of]} {of}" for of in counts if f"{of}_near" in counts)
        print(
            f"{where}: {shares} have one of a similarity of {data.audit.threshold} or more there, as controls may "
            "(each looked at until the first is found)"
        )
    for where, found in {**leakage, **reached}.items():
        if shared := found.get("stretches"):
            print(f"{where}: {in_words(shared)}")
    if shared := leakage.get(AS_GIVEN, {}).get("num_leaks"):
        print(
            f"{shared} pairs of near texts between the sources' own validation and test rows, left as they are: see leakage.json"
        )
    metrics: dict[str, float] = {}
    with whole_directory(out / "data/curated") as folder:
        for corpus in data.rows:
            again = {name: rows[corpus] for name, rows in controls.items()}
            written = _write(folder / corpus, corpus, data, leakage, again, reached)
            metrics |= {f"{corpus}/{key}": n for key, n in written.items()}
        write_json(folder / "leakage.json", leakage | reached)
    return metrics


def _tied(data: CuratedData) -> str:
    """What to do where no unit of tied rows is small enough for a held-out split; empty where some are."""
    rows = [row for of_corpus in data.rows.values() for row in of_corpus if kind_of(row).evaluated]
    sizes = Counter(unit_keys(rows)).values()
    if not rows or min(sizes) <= max(1, SMALL_UNIT * len(rows)):  # single rows are tied to nothing
        return ""
    return (
        f"rows that share a group, a query or a document are tied and go to one split, and the {len(rows)} rows are {len(sizes)} such "
        f"units, the smallest of {min(sizes)} (many questions with few answers, say). Name validation rows yourself (columns.split), or "
        "take `choose: {split: random}` and `set: {curate.contamination: query}`: scores then are of new questions about known answers"
    )


def _check_rows(data: CuratedData, known: Mapping[str, Mapping[str, Any]]) -> None:
    """ValueError where a split that the run cannot do without is empty, with what became of the rows. ``known``: the tasks of the run."""
    left = Counter(row.split for rows in data.rows.values() for row in rows)
    gone = Counter(row.reason for rows in data.dropped.values() for row in rows)
    fate = f"of {left.total() + gone.total()} records {left.total()} are left ({', '.join(f'{n} {split}' for split, n in left.items())})"
    fate += f", {', '.join(f'{n} went as {reason!r}' for reason, n in gone.most_common())}" if gone else ""
    if not left["train"]:
        raise ValueError(f"curation left no train row: {fate}; bring more different rows, or loosen conf/curate.yaml")
    if not left["validation"]:
        raise ValueError(
            f"curation left no validation row, and models are chosen by these: {fate}; "
            f"{_tied(data) or 'bring more different rows, or raise curate.split.validation'}"
        )
    if not left["test"]:
        raise ValueError(
            f"curation left no test row, and what a model is worth is measured on these: {fate}; add a corpus with a test split, or, "
            "where the source has none of its own, raise curate.split.test"
        )
    every = [row for rows in data.rows.values() for row in rows]
    tasks = {split: {row.task for row in every if row.split == split} for split in SPLITS}
    if lacking := sorted(task for task, one in known.items() if one["learned"] and task not in tasks["train"]):
        raise ValueError(
            f"curation left no train row of task {' and '.join(lacking)}, which an expert or a phase learns: {fate}; bring more different "
            f"rows, or take what learns it out of params.yaml"
        )
    scored = {row.task for row in every if kind_of(row).evaluated}
    for task in sorted(scored & tasks["train"] - tasks["test"]):
        print(f"{task}: rows to train on, and no test row in any corpus: no score will say what they are worth")
    for task in sorted(scored & tasks["train"] - tasks["validation"]):
        print(f"{task}: rows to train on, and no validation row in any corpus: no model is chosen by them")


def _texts(rows: list[Row]) -> list[Row]:
    """Rows as they are compared: the name of a class stands in every split and gives nothing away."""
    return [replace(row, document=row.query) if kind_of(row).shape == "labelled" else row for row in rows]


def _write(
    target: Path,
    corpus: str,
    data: CuratedData,
    leakage: Mapping[str, Any],
    controls: Mapping[str, list[Row]],
    reached: Mapping[str, Mapping[str, Any]],
) -> dict[str, int]:
    rows, dropped, dealt = data.rows[corpus], data.dropped[corpus], data.dealt[corpus]
    for folder, these in {target: rows, **{deal_folder(target, name): again for name, again in controls.items()}}.items():
        folder.mkdir(parents=True)
        for split in SPLITS:
            write(folder / f"{split}.parquet", Row, [row for row in these if row.split == split])
    write(target / "probe.parquet", Row, data.probe[corpus])
    write(target / "documents.parquet", Document, read(RAW / corpus / "documents.parquet", Document))
    write(target / "dropped.parquet", Dropped, dropped)
    counts = Counter(f"{row.split}/{row.task}" for row in rows)
    largest = _largest_groups(rows)
    reasons = Counter(row.reason for row in dropped)
    aside = Counter(row.task for row in data.probe[corpus])
    card = {
        "raw": read_json(RAW / corpus / "card.json"),
        "funnel": data.funnel[corpus],
        "kept": dict(sorted(counts.items())),
        "splits": {split: sum(row.split == split for row in rows) for split in SPLITS},
        "probe": dict(sorted(aside.items())),
        "dropped": dict(sorted(reasons.items())),
        "clusters": _cluster_sizes(dropped),
        "similarity": _similarities(dropped),
        "leakage": {where: found["nearest"] for where, found in leakage.items()},
        "compared": {where: found["things"] for where, found in leakage.items() if "things" in found},
        "controls": dict(reached),
        "stretches": {where: found["stretches"] for where, found in {**leakage, **reached}.items() if found.get("stretches")},
        "split": None if dealt is None else asdict(dealt),
        "groups": {split: len({row.group for row in rows if row.split == split and row.group}) for split in SPLITS},
        "largest_group": largest,
        "sha256": {file.relative_to(target).as_posix(): sha256(file) for file in sorted(target.rglob("*.parquet"))},
    }
    write_json(target / "card.json", card)
    kept_text = ", ".join(f"{n} {key}" for key, n in sorted(counts.items()))
    print(f"{corpus}: kept {kept_text}; dropped {', '.join(f'{n} {key}' for key, n in sorted(reasons.items())) or 'nothing'}")
    if aside:
        went = sum(n for reason, n in reasons.items() if reason in (TIED, NEAR_PROBE, f"near {NEAR_PROBE}"))
        told = ", ".join(f"{n} {task}" for task, n in sorted(aside.items()))
        print(f"{corpus}: set aside for merges to be tried on: {told}; {went} train rows tied or near to these went")
    for where, (group, share) in largest.items():
        if share > ONE_FAMILY:
            print(f"{corpus}: {share:.0%} of the rows of {where} are of one group, {group}: scores there are mostly its own")
    if dealt is not None and (report := dealt.report()):
        print(f"{corpus}: {report}")
    if dealt is not None and dealt.notes:
        print(f"{corpus}: {', '.join(f'{name} {value}' for name, value in dealt.notes.items())}")
    return dict(counts) | {f"dropped/{reason}": n for reason, n in reasons.items()}


def _largest_groups(rows: Sequence[Row]) -> dict[str, tuple[str, float]]:
    """By held-out split and task, the group with most rows and its share of them; rows without a group are each their own."""
    of: dict[str, Counter[str]] = {}
    for row in rows:
        if row.split in HELD_OUT and kind_of(row).evaluated:
            of.setdefault(f"{row.split}/{row.task}", Counter())[row.group or f"{row.query_id} {row.document_id}"] += 1
    return {where: (name, n / counts.total()) for where, counts in sorted(of.items()) for name, n in counts.most_common(1)}


def _cluster_sizes(dropped: list[Dropped]) -> dict[str, int]:
    """How many kept pairs stand for how many pairs: ``{"2": 310, "3-4": ..}``."""
    stands_for = Counter((row.task, row.detail) for row in dropped if row.twin_query is not None and "row" not in row.reason)
    bands = Counter(int(np.log2(n)) for n in stands_for.values())  # dropped 1, 2-3, 4-7, ...
    return {f"{2**k + 1}" if k == 0 else f"{2**k + 1}-{2 ** (k + 1)}": bands[k] for k in sorted(bands)}


def _similarities(dropped: list[Dropped]) -> list[int]:
    """Dropped rows by similarity to their twin: ten bins from 0 to 1, and equal ones last."""
    values = np.array([row.similarity for row in dropped if row.similarity is not None])
    counts, _ = np.histogram(values[values < 1], bins=10, range=(0, 1))
    return [*counts.tolist(), int((values >= 1).sum())]
