"""Graded sentence pairs in tab-separated files, one file a split.

The files are taken without quoting: published STS sets hold stray quotes, and a reader that gives them a meaning swallows the
lines between two of them in silence. A file that does quote is read with conf/source/table.yaml and task: sts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.corpus.reading import (
    ROLES,
    checked_columns,
    checked_splits,
    inside,
    mapped_row,
    plain_or_gzipped,
    read_cells,
    shown,
)
from pipeline.corpus.row import Record, Rejected, Row, Split
from pipeline.corpus.task_rows import TaskRows


class Sts:
    """``files`` maps a split to its file below ``path``, to several, or to null. ``columns.id`` names the pair."""

    def __init__(
        self,
        *,
        path: str,
        root: str | None,
        files: Mapping[str, str | Sequence[str] | None],
        columns: Mapping[str, str | None],
        task: str,
        kind: str | None,
    ) -> None:
        self.rows = TaskRows(task, kind)
        if self.rows.kind.score == "none":
            raise ValueError(f"these pairs are scored, so their task must be of kind sts, got {self.rows.kind.name!r}")
        self.root = root
        self.parts: list[tuple[Split, Path]] = [
            (split, inside(f"{path}/{file}", root)) for split, file in checked_splits("files", files)
        ]
        named = checked_columns(
            columns, required=("sentence1", "sentence2", "score"), known=("sentence1", "sentence2", "score", "id")
        )
        self.id_column = named["id"]
        self.columns: dict[str, str | None] = dict.fromkeys(ROLES)
        self.columns |= {"query": named["sentence1"], "document": named["sentence2"], "score": named["score"]}
        # The pair's id stands in for both texts' until `read` tells them apart, so a bad one is rejected like any other.
        self.columns |= {"query_id": self.id_column, "document_id": self.id_column}

    def read(self) -> Iterator[Record]:
        needed = sorted({column for column in self.columns.values() if column})
        # All files are looked for before the first is read.
        parts: list[tuple[Split, Path]] = [(split, plain_or_gzipped(file)) for split, file in self.parts]
        for split, path in parts:
            for cells in read_cells(path, file=shown(path, self.root), needed=needed, delimiter="\t", quoting=False):
                if isinstance(cells, Rejected):
                    yield cells
                    continue
                row = self.rows.fitted(cells, mapped_row(cells, self.columns, task=self.rows.task, split=split))
                if isinstance(row, Row) and self.id_column is not None:
                    row = replace(row, query_id=f"{row.query_id}#1", document_id=f"{row.document_id}#2")
                yield row
