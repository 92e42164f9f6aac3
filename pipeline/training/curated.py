"""Contrastive training of an encoder on the curated rows of its tasks: what experts and phases do unless they name another `fit`."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import build
from pipeline.checkpoint import whole_directory
from pipeline.corpus.classmates import paired
from pipeline.corpus.files import Negative, read, read_rows, write
from pipeline.corpus.row import Row, Split, teaches
from pipeline.distributed import first_process, together
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.lora import adapt
from pipeline.training.fit import fit
from pipeline.training.job import Fitted, Job
from pipeline.training.mined import by_query, further_documents, known_rows, mined, with_given, with_negatives
from pipeline.training.snapshots import Snapshots


class Contrastive:
    """Where the encoder names an adapter, that is what learns."""

    sections = {"expert": "shape.Expert", "phase": "shape.Phase"}  # noqa: RUF012
    learns = ("ranked", "graded", "paired", "translated", "labelled")

    def __call__(self, job: Job) -> Fitted:
        encoder, section, tasks = job.encoder, job.section, job.section["tasks"]
        adapt(encoder)
        control, corpora = section.get("control"), section.get("corpora")
        known = known_rows(job.curated, control)
        given = rows_of(job.curated, "train", list(tasks), corpora, deal=control)
        judged = {task: paired([row for row in given if row.task == task], f"{job.seed} {task}") for task in tasks}
        rows = {task: [row for row in of_task if teaches(row)] for task, of_task in judged.items()}
        rows = {task: drawn(of_task, section.get("share"), f"{job.seed} {task}") for task, of_task in rows.items()}
        if job.mined is not None:
            negatives = by_query([one for file in sorted(job.mined.glob("*.parquet")) for one in read(file, Negative)])
        else:
            negatives = _found(encoder, judged, section, job)
        for task, settings in tasks.items():
            needed = settings["negatives"] == "own" or build(settings["objective"]).needs_negatives
            found = negatives.get(task, {})
            rows[task] = with_negatives(task, rows[task], found, settings["num_negatives"], needed=needed)
        kept = Snapshots(job.scratch, **section["snapshots"]) if section.get("snapshots") else None
        looked_at = rows_of(job.curated, "validation", list(tasks), corpora, deal=control)
        held_out = {
            task: paired([row for row in looked_at if row.task == task and teaches(row)], f"{job.seed} {task}")
            for task in tasks
        }
        learned = fit(
            encoder,
            rows,
            negatives,
            section,
            job.runtime,
            seed=job.seed,
            name=job.name,
            inputs=job.inputs,
            held_out=held_out,
            known=known,
            snapshots=kept,
        )
        return Fitted(encoder, learned.curve, kept.files() if kept else (), learned.beside, learned.seen)


def rows_of(
    curated: Path, split: Split, tasks: Sequence[str], corpora: Sequence[str] | None, *, deal: str | None = None
) -> list[Row]:
    """Of ``tasks``, of ``corpora`` alone if given, as ``deal`` dealt them if given."""
    found = read_rows(curated, split, tasks, deal=deal)
    return [row for corpus, row in found if corpora is None or corpus in corpora]


def drawn(rows: list[Row], share: float | None, seed: str) -> list[Row]:
    """``share`` of the rows, at least one if there is any, in their order; all where it is None."""
    if share is None:
        return rows
    chosen = random.Random(f"{seed} share").sample(range(len(rows)), max(round(share * len(rows)), min(1, len(rows))))
    return [rows[i] for i in sorted(chosen)]


def _found(
    encoder: Encoder, rows: Mapping[str, list[Row]], section: Mapping[str, Any], job: Job
) -> dict[str, dict[str, list[str]]]:
    """Hard negatives by task and query, mined by the encoder as the training finds it: by the first process, for all."""
    settings, folder = section["mine"], job.scratch
    if settings is None:
        return {}
    pool = [
        text
        for corpus in sorted({corpus for corpus, _ in read_rows(job.curated, "train", list(rows))})
        if section["corpora"] is None or corpus in section["corpora"]
        for text in further_documents(job.curated, corpus)
    ]
    if first_process() and not folder.is_dir():
        with whole_directory(folder) as partial:
            for task, of_task in rows.items():
                positive = [row for row in of_task if teaches(row)]
                found = mined(encoder, positive, pool, settings, job.runtime, title=task)
                write(partial / f"{task}.parquet", Negative, with_given(of_task, found))
    together()
    return by_query([negative for task in rows for negative in read(folder / f"{task}.parquet", Negative)])
