"""A file of pairs: JSONL, CSV, TSV or Parquet, or a folder of such files.

Which column holds what is told by ``columns``, so any table becomes a source by a YAML of its own.
"""

from collections.abc import Iterator, Mapping

from pipeline.corpus.reading import (
    ROLES,
    checked_columns,
    checked_split,
    inside,
    mapped_row,
    read_cells,
    shards,
    shown,
)
from pipeline.corpus.row import Record, Rejected, Split
from pipeline.corpus.task_rows import TaskRows


class Table:
    """Rows of one task, in the order of the files' names and of the lines in them."""

    def __init__(
        self,
        *,
        path: str,
        root: str | None,
        columns: Mapping[str, str | None],
        task: str,
        kind: str | None,
        split: str | None,
        delimiter: str | None,
        quoting: bool,
    ) -> None:
        self.path = inside(path, root)
        self.root = root
        self.rows = TaskRows(task, kind)
        self.columns = checked_columns(columns, required=self.rows.required, known=ROLES)
        self.split: Split | None = checked_split(split)
        if split is not None and self.columns["split"] is not None:
            raise ValueError(
                f"split is {split!r} and columns.split is {self.columns['split']!r}, expected one of them; set one to null"
            )
        if delimiter is not None and len(delimiter) != 1:
            raise ValueError(f'delimiter must be one character or null, got {delimiter!r}; a tab is written "\\t" in YAML')
        self.delimiter = delimiter
        self.quoting = quoting

    def read(self) -> Iterator[Record]:
        needed = sorted({column for column in self.columns.values() if column})
        for path in shards(self.path):
            file = shown(path, self.root)
            for cells in read_cells(path, file=file, needed=needed, delimiter=self.delimiter, quoting=self.quoting):
                if isinstance(cells, Rejected):
                    yield cells
                    continue
                yield self.rows.fitted(cells, mapped_row(cells, self.columns, task=self.rows.task, split=self.split))
