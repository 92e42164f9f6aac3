"""Rows of a task that a person named, out of a file or data set that a person mapped: what the task's kind asks of them."""

from pipeline.corpus.row import Row, Split
from pipeline.task import kind_named


class TaskRows:
    """``task`` is any name; ``kind`` one of `pipeline.task.KINDS`, or None where the task is called like its kind."""

    def __init__(self, task: str, kind: str | None) -> None:
        self.task = task
        self.kind = kind_named(task, kind)
        self.named = None if task == self.kind.name else self.kind.name  # as `Row.kind` holds it

    def row(
        self,
        query_id: str,
        query: str,
        document_id: str,
        document: str,
        score: float | None,
        split: Split | None,
        group: str | None = None,
    ) -> Row:
        """A row of this kind; ValueError says why it cannot be one."""
        if self.kind.score == "binary" and score not in (0, 1):
            raise ValueError(f"score is {score}, expected 0 or 1 (task {self.task}: {self.kind.meaning})")
        if self.kind.shape == "labelled" and group is None:
            group = query_id  # texts of one class need not stay in one split
        return Row(self.task, query_id, query, document_id, document, score, split, group, kind=self.named)
