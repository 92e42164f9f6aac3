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
from pipeline.corpus.files import write
from pipeline.corpus.row import Document, Rejected, Row
from pipeline.task import kind_of

REJECTED = Path("data/rejected")
SHOWN = 5  # records and reasons in a message


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    metrics: dict[str, float] = {}
    section = cfg["ingest"]
    kinds: dict[str, tuple[str, str]] = {}  # by task the kind, and the corpus that was first to have it
    with whole_directory(out / "data/raw") as folder:
        for name, corpus in sorted(section["corpora"].items()):
            source = _source(corpus, runtime)
            tallies = getattr(source, "tallies", [])  # of files; a source that reads none has none
            records = list(tqdm(source.read(), desc=f"ingest {name}", unit="record", leave=False, disable=None))
            rows = [record for record in records if isinstance(record, Row)]
            documents = [record for record in records if isinstance(record, Document)]
            rejected = [record for record in records if isinstance(record, Rejected)]
            if not tallies:
                tallies = [Tally(records=len(records), lines=len(records), files={record.file for record in rejected})]
            _check_all(
                name, tallies, len(records), rejected, section["max_rejected"], empty=not rows and not documents, out=out
            )
            _check_tasks(name, rows, kinds)
            target = folder / name
            target.mkdir()
            write(target / "rows.parquet", Row, rows)
            write(target / "documents.parquet", Document, documents)
            write(target / "rejected.parquet", Rejected, rejected)
            tasks = dict(sorted(Counter(row.task for row in rows).items()))
            files = {f"{kind}_sha256": sha256(target / f"{kind}.parquet") for kind in ("rows", "documents", "rejected")}
            faults = Counter(record.reason.split(":")[0] for record in rejected)
            reasons = {"reasons": dict(sorted(faults.items()))} if rejected else {}
            card = {"rows": tasks, "documents": len(documents), "rejected": len(rejected), **reasons, **files}
            write_json(target / "card.json", card)
            counts = ", ".join(f"{n} {task}" for task, n in tasks.items())
            print(f"{name}: {counts} rows, {len(documents)} further documents, {len(rejected)} rejected")
            metrics |= {f"{name}/{task}": n for task, n in tasks.items()} | {f"{name}/rejected": len(rejected)}
    return metrics


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


def _check_tasks(name: str, rows: list[Row], kinds: dict[str, tuple[str, str]]) -> None:
    """ValueError where a task is of no known kind, or of another one than in a corpus before; ``kinds`` is filled."""
    for row in {(row.task, row.kind): row for row in rows}.values():
        kind = kind_of(row).name
        known, first = kinds.setdefault(row.task, (kind, name))
        if known != kind:
            raise ValueError(
                f"task {row.task!r} is of kind {known} in corpus {first} and of kind {kind} in {name}; call one of them otherwise"
            )
