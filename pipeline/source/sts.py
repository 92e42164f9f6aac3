"""Graded sentence pairs in tab-separated files, one file a split.

The files are taken without quoting: published STS sets hold stray quotes, and a reader that gives them a meaning swallows the
lines between two of them in silence. A file that does quote is read with conf/source/table.yaml and task: sts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.corpus.cells import Tally
from pipeline.corpus.mapping import ColumnMap
from pipeline.corpus.place import inside, plain_or_packed, shown, tell_beside
from pipeline.corpus.reading import read_cells
from pipeline.corpus.row import Record, Rejected, Row, Split
from pipeline.corpus.settings import checked_columns, checked_splits
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
        of = TaskRows(task, kind)
        if of.kind.score == "none":
            raise ValueError(f"these pairs are scored, so their task must be of kind sts, got {of.kind.name!r}")
        self.root = root
        self.parts: list[tuple[Split, Path]] = [
            (split, inside(f"{path}/{file}", root)) for split, file in checked_splits("files", files)
        ]
        named = checked_columns(
            columns, required=("sentence1", "sentence2", "score"), known=("sentence1", "sentence2", "score", "id")
        )
        self.id_column = named["id"]
        # The pair's id stands in for both texts' until `read` tells them apart, so a bad one is rejected like any other.
        columns = {"query": named["sentence1"], "document": named["sentence2"], "score": named["score"]}
        columns |= {"query_id": self.id_column, "document_id": self.id_column}
        self.map = ColumnMap(columns, of=of, split=None, relevant_above=0, by_id=False)
        self.folder = inside(path, root)
        self.tallies = [Tally()]

    def read(self) -> Iterator[Record]:
        # All files are looked for before the first is read.
        parts: list[tuple[Split, Path]] = [(split, plain_or_packed(file)) for split, file in self.parts]
        tell_beside(self.folder, [path for _, path in parts])
        form = {"needed": self.map.needed, "delimiter": "\t", "quoting": False, "tally": self.tallies[0]}
        for split, path in parts:
            for cells in read_cells(path, file=shown(path, self.root), **form):
                for row in [cells] if isinstance(cells, Rejected) else self.map.rows(cells, {}, split=split):
                    if isinstance(row, Row) and self.id_column is not None:
                        row = replace(row, query_id=f"{row.query_id}#1", document_id=f"{row.document_id}#2")
                    yield row
