"""ingest: every source to one schema.

Reads:  data/source/, whatever the sources name
Writes: data/raw/<corpus>/{rows,documents,rejected}.parquet, card.json; where it stops since too many records cannot be read,
        data/rejected/<corpus>.jsonl in their place, which a run that goes through takes away
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.build import build
from pipeline.checkpoint import sha256, whole_directory, write_json, write_text
from pipeline.corpus.cells import Tally
from pipeline.corpus.records import Records, Rows, joined, pairs_of, tallied, write_records
from pipeline.corpus.row import Document, Rejected, Row
from pipeline.task import kind_named

REJECTED = Path("data/rejected")
GATHERED = 10_000  # records that are put into columns together
SHOWN = 5  # records and reasons in a message


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    metrics: dict[str, float] = {}
    section = cfg["ingest"]
    kinds: dict[str, tuple[str, str]] = {}  # by task the kind, and the corpus that was first to have it
    with whole_directory(out / "data/raw") as folder:
        for name, corpus in sorted(section["corpora"].items()):
            source = _source(corpus, runtime)
            tallies = getattr(source, "tallies", [])  # of files; a source that reads none has none
            rows, documents, rejected = _gathered(name, source)
            num_records = len(rows) + len(documents) + len(rejected)
            if not tallies:
                tallies = [Tally(records=num_records, lines=num_records, files={record.file for record in rejected})]
            empty = not len(rows) and not len(documents)
            _check_all(name, tallies, num_records, rejected, section["max_rejected"], empty=empty, out=out)
            _check_tasks(name, rows, kinds)
            target = folder / name
            target.mkdir()
            write_records(target / "rows.parquet", rows)
            write_records(target / "documents.parquet", documents)
            write_records(target / "rejected.parquet", Records.of(Rejected, rejected))
            tasks = dict(sorted(tallied(rows.columns["task"]).items()))
            files = {f"{kind}_sha256": sha256(target / f"{kind}.parquet") for kind in ("rows", "documents", "rejected")}
            faults = Counter(record.reason.split(":")[0] for record in rejected)
            reasons = {"reasons": dict(sorted(faults.items()))} if rejected else {}
            card = {"rows": tasks, "documents": len(documents), "rejected": len(rejected), **reasons, **files}
            write_json(target / "card.json", card)
            counts = ", ".join(f"{n} {task}" for task, n in tasks.items())
            print(f"{name}: {counts} rows, {len(documents)} further documents, {len(rejected)} rejected")
            metrics |= {f"{name}/{task}": n for task, n in tasks.items()} | {f"{name}/rejected": len(rejected)}
    return metrics


def _gathered(name: str, source: Any) -> tuple[Rows, Records[Document], list[Rejected]]:
    """What ``source`` yields: rows in columns where it has `blocks`, else record by record, which are put into columns as they come."""
    parts: dict[type[Any], list[Records[Any]]] = {Row: [], Document: []}
    waiting: dict[type[Any], list[Any]] = {Row: [], Document: [], Rejected: []}

    def settle(kind: type[Any]) -> None:
        if waiting[kind]:
            parts[kind].append(Records.of(kind, waiting[kind]))
            waiting[kind] = []

    nearest = next(vars(one) for one in type(source).__mro__ if {"read", "blocks"} & vars(one).keys())
    found = source.blocks() if "blocks" in nearest else source.read()
    with tqdm(desc=f"ingest {name}", unit="record", leave=False, disable=None) as bar:
        for one in found:
            bar.update(len(one) if isinstance(one, Records) else 1)
            if isinstance(one, Records):
                settle(Row)
                parts[Row].append(one)
                continue
            waiting[type(one)].append(one)
            if len(waiting[type(one)]) == GATHERED and type(one) in parts:
                settle(type(one))
    settle(Row)
    settle(Document)
    return joined(Row, parts[Row]), joined(Document, parts[Document]), waiting[Rejected]


def _source(corpus: Mapping[str, Any], runtime: Mapping[str, Any]) -> Any:
    """The corpus' source, or, where there is a mirror and the corpus is in it, the same data as files below that.

    The environment is asked here and not by compose, which DVC does not run again when a variable changes.
    """
    mirror = os.environ.get("TRIBUTARY_DATA") or runtime["mirror"]
    if mirror and corpus["mirror"]:
        return build({**corpus["mirror"], "root": mirror})
    return build(corpus["source"])


def _check_all(
    name: str, tallies: Sequence[Tally], read: int, rejected: Sequence[Rejected], max_rejected: float, *, empty: bool, out: Path
) -> None:
    """ValueError where nothing is left of ``read`` records, or too much is lost; every rejected record then stands in a file."""
    file = out / REJECTED / f"{name}.jsonl"
    try:
        if empty:
            raise ValueError(
                f"corpus {name}: no valid row out of {read} records; mend the source, or take the corpus out of params.yaml"
                f"{_examples(rejected)}"
            )
        for tally in tallies:
            _check(name, tally, rejected, max_rejected)
    except ValueError as error:
        if not rejected:
            raise
        lines = (json.dumps(asdict(one), ensure_ascii=False, sort_keys=True) + "\n" for one in rejected)
        write_text(file, "".join(lines))
        raise ValueError(f"{error}\n  All {len(rejected)} stand in {file}: {_counted(rejected)}") from error
    file.unlink(missing_ok=True)


def _counted(rejected: Sequence[Rejected]) -> str:
    reasons = Counter(one.reason.split(",")[0] for one in rejected).most_common()
    told = ", ".join(f"{n} {reason}" for reason, n in reasons[:SHOWN])
    return told + (f", and {len(reasons) - SHOWN} other reasons" if len(reasons) > SHOWN else "")


def _check(name: str, tally: Tally, rejected: Sequence[Rejected], max_rejected: float) -> None:
    """ValueError where more of one kind of file is lost than ``max_rejected``, of its lines or of its characters."""
    lost = [one for one in rejected if one.file in tally.files]
    unit = "records" if tally.records == tally.lines else "lines"
    for num_lost, total, what in (
        (sum(one.lines for one in lost), tally.lines, unit),
        (sum(one.size for one in lost), tally.size, "characters"),
    ):
        if num_lost > max_rejected * total:
            of = f" of {tally.name}" if tally.name else ""
            encoding = any(one.reason == "not valid UTF-8" for one in lost)
            raise ValueError(
                f"corpus {name}: {num_lost} of {total} {what}{of} cannot be read, more than ingest.max_rejected = {max_rejected:.1%}; "
                f"mend them, or raise the limit (`set: {{ingest.max_rejected: 0.05}}` in params.yaml)"
                f"{'; a file in another encoding is read with `encoding: cp1252` or whatever it is' if encoding else ''}. "
                f"The first:{_examples(lost)}"
            )


def _examples(rejected: Sequence[Rejected]) -> str:
    return "".join(f"\n  {one.file}:{one.line}: {one.reason}" for one in rejected[:SHOWN])


def _check_tasks(name: str, rows: Rows, kinds: dict[str, tuple[str, str]]) -> None:
    """ValueError where a task is of no known kind, or of another one than in a corpus before; ``kinds`` is filled."""
    for task, named in pairs_of(rows, "task", "kind"):
        kind = kind_named(task, named).name
        known, first = kinds.setdefault(task, (kind, name))
        if known != kind:
            raise ValueError(
                f"task {task!r} is of kind {known} in corpus {first} and of kind {kind} in {name}; call one of them otherwise"
            )
