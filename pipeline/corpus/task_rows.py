"""Rows of a task that a person named, out of a file or data set that a person mapped: what the task's kind asks of columns and rows."""

from dataclasses import replace

from pipeline.corpus.reading import Cells, excerpt
from pipeline.corpus.row import Rejected, Row
from pipeline.task import kind_named


class TaskRows:
    """``task`` is any name; ``kind`` one of `pipeline.task.KINDS`, or None where the task is called like its kind."""

    def __init__(self, task: str, kind: str | None) -> None:
        self.task = task
        self.kind = kind_named(task, kind)
        self.named = None if task == self.kind.name else self.kind.name  # as `Row.kind` holds it

    @property
    def required(self) -> tuple[str, ...]:
        """The roles that must have a column."""
        return ("query", "document", *(() if self.kind.score == "none" else ("score",)))

    def fitted(self, cells: Cells, record: Row | Rejected) -> Row | Rejected:
        """``record``, read from ``cells``, as a row of this kind, or why it cannot be one."""
        if isinstance(record, Rejected):
            return record
        if self.kind.score == "binary" and record.score not in (0, 1):
            reason = f"score is {record.score}, expected 0 or 1 (task {self.task}: {self.kind.meaning})"
            return Rejected(cells.file, cells.line, reason, excerpt(str(dict(cells.values))))
        if self.kind.shape == "labelled" and record.group is None:
            record = replace(record, group=record.query_id)  # texts of one class need not stay in one split
        return record if self.named is None else replace(record, kind=self.named)
