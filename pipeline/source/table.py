"""A file of pairs: JSONL, CSV, TSV or Parquet, or a folder of such files.

Which column holds what is told by ``columns``, so any table becomes a source by a YAML of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pipeline.corpus.reading import (
    ROLES,
    checked_columns,
    checked_split,
    checked_task,
    inside,
    mapped_row,
    read_cells,
    shards,
    shown,
)
from pipeline.corpus.row import LABELLED, Record, Rejected, Row, Split


class Table:
    """Rows of one task, in the order of the files' names and of the lines in them."""

    def __init__(
        self,
        *,
        path: str,
        root: str | None,
        columns: Mapping[str, str | None],
        task: str,
        split: str | None,
        delimiter: str | None,
        quoting: bool,
    ) -> None:
        self.path = inside(path, root)
        self.root = root
        self.task = checked_task(task)
        graded = ("score",) if self.task in ("sts", "pair_classification", "reranking") else ()
        self.columns = checked_columns(columns, required=("query", "document", *graded), known=ROLES)
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
                row = mapped_row(cells, self.columns, task=self.task, split=self.split)
                if self.task in LABELLED and isinstance(row, Row) and row.group is None:
                    row = replace(row, group=row.query_id)  # texts of one class need not stay in one split
                yield row
