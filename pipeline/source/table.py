"""A file of pairs, or a folder of such files, whatever their format.

Which column holds what is told by ``columns``, so any table becomes a source by a YAML of its own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.corpus.blocks import mapped, read_blocks
from pipeline.corpus.cells import Tally
from pipeline.corpus.judged import identified
from pipeline.corpus.lines import check_encoding
from pipeline.corpus.mapping import ColumnMap
from pipeline.corpus.place import inside, shards, shown
from pipeline.corpus.reading import read_cells
from pipeline.corpus.records import Records, Rows
from pipeline.corpus.row import Document, Record, Rejected, Split
from pipeline.corpus.settings import checked_columns, checked_split
from pipeline.corpus.task_rows import TaskRows

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


class Table:
    """Rows of one task, in the order of the files' names and of the lines in them.

    ``documents``: a file (``path``) whose column ``text``, under ``title`` where one is named, holds the documents that ``document_id``
    and ``negative_id`` name by its column ``id``; all of them become candidates.
    """

    def __init__(
        self,
        *,
        path: str,
        root: str | None,
        columns: Mapping[str, str | Sequence[str] | None],
        task: str,
        kind: str | None,
        split: str | None,
        delimiter: str | None,
        quoting: bool,
        encoding: str | None,
        sheet: str | None,
        documents: Mapping[str, Any] | None,
        relevant_above: float,
    ) -> None:
        self.path = inside(path, root)
        self.root = root
        self.split: Split | None = checked_split(split)
        self.documents = (
            checked_columns(documents, required=("path", "id", "text"), known=("path", "id", "text", "title"))
            if documents
            else None
        )
        self.map = ColumnMap(
            columns, of=TaskRows(task, kind), split=self.split, relevant_above=relevant_above, by_id=self.documents is not None
        )
        if split is not None and columns.get("split") is not None:
            raise ValueError(
                f"split is {split!r} and columns.split is {columns['split']!r}, expected one of them; set one to null"
            )
        if delimiter is not None and len(delimiter) != 1:
            raise ValueError(f'delimiter must be one character or null, got {delimiter!r}; a tab is written "\\t" in YAML')
        check_encoding(encoding)
        self.form = {"delimiter": delimiter, "quoting": quoting, "encoding": encoding, "sheet": sheet}
        self.tallies = [Tally(), Tally("the documents")]

    def read(self) -> Iterator[Record]:
        """`blocks`, record by record."""
        for one in self.blocks():
            yield from one if isinstance(one, Records) else [one]

    def blocks(self) -> Iterator[Record | Rows]:
        """The records; rows in columns, as many together as were read together."""
        texts: dict[str, str] = {}
        beside = inside(str(self.documents["path"]), self.root) if self.documents else None
        if beside is not None and self.documents:
            name = str(self.documents["id"])
            fields = [str(field) for field in (self.documents["title"], self.documents["text"]) if field]
            needed = [name, *fields]
            for path in shards(beside):
                form = {**self.form, "needed": needed, "tally": self.tallies[1]}
                cells = read_cells(path, file=shown(path, self.root), **form)
                for found in identified(cells, texts, [name], fields):
                    yield found if isinstance(found, Rejected) else Document(*found)
        paths = shards(self.path, without=[beside] if beside else [])
        splits = self._splits(paths)
        for path in paths:
            file = shown(path, self.root)
            for block in read_blocks(path, self.map, file=file, tally=self.tallies[0], **self.form):
                yield from mapped(block, self.map, texts, splits.get(path))
        self.map.finish(shown(self.path, self.root))

    def _splits(self, paths: Sequence[Path]) -> dict[Path, Split]:
        """The split of each file, where their names tell it and nothing else does: files called train and test are not to be mixed."""
        if self.split is not None or self.map.one["split"] is not None or len(paths) < 2:
            return {}
        words = {path: re.split(r"[^a-z]+", path.name.lower()) for path in paths}
        named: dict[Path, Split | None] = {
            path: next((SPLIT_NAMES[word] for word in words[path] if word in SPLIT_NAMES), None) for path in paths
        }
        if not {"validation", "test"} & set(named.values()):
            return {}
        if unnamed := [path.name for path, split in named.items() if split is None]:
            held_out = [path.name for path, split in named.items() if split in ("validation", "test")]
            raise ValueError(
                f"{self.path}: the names of {', '.join(held_out)} tell a split, those of {', '.join(unnamed[:3])} none; name them all by "
                "their split, say columns.split, or give each split a corpus of its own with `split: test`"
            )
        print(
            f"{self.path}: split by the names of the files: {', '.join(f'{path.name} {split}' for path, split in named.items())}"
        )
        return {path: split for path, split in named.items() if split is not None}
