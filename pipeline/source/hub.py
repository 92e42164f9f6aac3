"""A data set on the Hugging Face hub, held to one commit.

A name alone is not a version: its files may change between two runs, so the full commit is mandatory. No code of the data set
is ever run. Price: the hub must be reachable, and the library's own cache keeps a second copy.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from pipeline.corpus.cells import Cells, Tally, characters
from pipeline.corpus.judged import judged_records
from pipeline.corpus.mapping import ColumnMap
from pipeline.corpus.row import Record, Rejected, Split
from pipeline.corpus.settings import checked_splits
from pipeline.corpus.task_rows import TaskRows
from pipeline.spelling import nearest

LAYOUTS = ("pairs", "beir")
OFFLINE = ("1", "true", "yes", "on")  # the values that huggingface_hub takes for yes


class UnknownSplitError(ValueError):
    """The data set has no such split."""


class Hub:
    """``splits`` maps a split of ours to the hub's, to several, or to null.

    Layout ``pairs``: one table, read through ``columns``. Layout ``beir``: configurations ``corpus``, ``queries`` and ``name``
    (``default`` where null), which holds the judgements, as in the mteb/* repositories (newer ones call it ``qrels``); ``columns`` is
    not looked at.
    """

    def __init__(
        self,
        *,
        repo: str,
        name: str | None,
        revision: str,
        layout: str,
        splits: Mapping[str, str | Sequence[str] | None],
        columns: Mapping[str, str | Sequence[str] | None],
        task: str,
        kind: str | None,
        relevant_above: float,
    ) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or Path(repo).exists():
            raise ValueError(
                f"repo must be owner/name on the hub and no folder here, got {repo!r}; read files with source=table"
            )
        if not re.fullmatch(r"[0-9a-f]{40}", str(revision)):
            raise ValueError(
                f"revision must be a full commit of 40 hexadecimal digits, got {revision!r}; copy it from "
                f"https://huggingface.co/datasets/{repo}/commits/main, and quote it in YAML"
            )
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}{nearest(layout, LAYOUTS)}")
        self.of = TaskRows(task, kind)
        if layout == "beir" and self.of.kind.shape != "ranked":
            raise ValueError(
                f"layout beir holds judged documents, so its task must be of kind retrieval, got {self.of.kind.name!r}"
            )
        self.repo, self.name, self.revision, self.layout = repo, name, revision, layout
        self.parts: list[tuple[Split, str]] = checked_splits("splits", splits)
        self.relevant_above = relevant_above
        if columns.get("split") is not None:
            raise ValueError(f"columns.split must be null, got {columns['split']!r}; splits names the hub's splits already")
        self.map = (
            ColumnMap(columns, of=self.of, split=None, relevant_above=relevant_above, by_id=False)
            if layout == "pairs"
            else None
        )
        self.tallies = [Tally(name) for name in ("", "the corpus", "the queries", "the judgements")]

    def read(self) -> Iterator[Record]:
        if self.map is None:
            judgements: list[tuple[Split, Iterator[Cells | Rejected]]] = [
                (split, self._cells(self.name or "default", theirs, self.tallies[3])) for split, theirs in self.parts
            ]
            corpus, queries = self._texts("corpus", self.tallies[1]), self._texts("queries", self.tallies[2])
            yield from judged_records(corpus, queries, judgements, of=self.of, relevant_above=self.relevant_above)
            return
        for split, theirs in self.parts:
            for cells in self._cells(self.name, theirs, self.tallies[0]):
                if isinstance(cells, Cells):
                    yield from self.map.rows(cells, {}, split=split)
        self.map.finish(self.repo)

    def _texts(self, name: str, tally: Tally) -> Iterator[Cells | Rejected]:
        """The configuration ``name``: its split of that name, or, as newer repositories have it, those that the judgements have."""
        try:
            yield from self._cells(name, name, tally)
        except UnknownSplitError:
            for theirs in dict.fromkeys(theirs for _, theirs in self.parts):
                yield from self._cells(name, theirs, tally)

    def _cells(self, name: str | None, split: str, tally: Tally) -> Iterator[Cells | Rejected]:
        """``line`` is the number of the row, from 1."""
        where = "/".join(filter(None, (self.repo, name, split)))
        rows = enumerate(self._loaded(name, split, where), start=1)
        return tally.counted(where, (Cells(where, line, values, 1, characters(values)) for line, values in rows))

    def _loaded(self, name: str | None, split: str, where: str) -> Iterable[Mapping[str, object]]:
        asked = f"{where} at commit {self.revision}"
        advice = (
            "download it where there is a network and read the copy by its path: source=table or source=beir (for data sets of conf/corpus "
            "with a mirror, set TRIBUTARY_DATA to the folder that holds the files)"
        )
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in OFFLINE:
            raise ValueError(f"cannot load {asked}: HF_HUB_OFFLINE is set, so the hub is not asked; unset it, or {advice}")
        import datasets  # two seconds, and only this source needs it

        try:
            data = datasets.load_dataset(self.repo, name, revision=self.revision, split=split)
        except FileNotFoundError as error:
            raise ValueError(
                f"the hub has no {asked} ({error}); check repo, name and revision, and your access to it"
            ) from error
        except ValueError as error:
            if "Unknown split" in str(error):
                raise UnknownSplitError(f"{asked}: {error}; name one of its splits under splits") from error
            raise
        except OSError as error:
            raise ValueError(f"cannot reach the hub for {asked} ({error}); {advice}") from error
        # Where the hub does not answer, the library takes the newest copy in its cache, of whatever commit, and only warns.
        copies = [Path(file["filename"]) for file in data.cache_files]
        if not all(self.revision in copy.parts for copy in copies):
            raise ValueError(f"cannot reach the hub for {asked}: its cache holds another commit ({copies[0].parent}); {advice}")
        return cast(Iterable[Mapping[str, object]], data)
