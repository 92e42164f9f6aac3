"""A retrieval collection in the BEIR layout: ``corpus.jsonl``, ``queries.jsonl`` (each also .gz) and ``qrels/<part>.tsv``.

A judged pair becomes a row with its judgement as score, every document a candidate. Judgements of 0 stay: somebody looked and
said no, which makes a better hard negative than a document nobody judged.

Source: Thakur et al. 2021, arXiv:2104.08663.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.corpus.judged import judged_records
from pipeline.corpus.reading import Cells, checked_splits, found, inside, plain_or_gzipped, read_cells, shown
from pipeline.corpus.row import Record, Rejected, Split
from pipeline.corpus.task_rows import TaskRows


class Beir:
    """``splits`` maps a split of ours to the qrels file (without .tsv) that judges it, to several, or to null."""

    def __init__(
        self, *, path: str, root: str | None, splits: Mapping[str, str | Sequence[str] | None], task: str, kind: str | None
    ) -> None:
        self.rows = TaskRows(task, kind)
        if self.rows.kind.shape != "ranked":
            raise ValueError(
                f"a BEIR folder holds judged documents, so its task must be of kind retrieval, got {self.rows.kind.name!r}"
            )
        self.path = inside(path, root)
        self.root = root
        self.parts: list[tuple[Split, Path]] = [
            (split, inside(f"{path}/qrels/{stem}.tsv", root)) for split, stem in checked_splits("splits", splits)
        ]

    def read(self) -> Iterator[Record]:
        found(self.path)
        # A missing judgement file is told before the corpus is read, not minutes after.
        judgements: list[tuple[Split, Iterator[Cells | Rejected]]] = [
            (split, self._cells(path, ("query-id", "corpus-id", "score"))) for split, path in self.parts
        ]
        corpus, queries = (self._filled(self.path / f"{name}.jsonl") for name in ("corpus", "queries"))
        return judged_records(corpus, queries, judgements, self.rows)

    def _filled(self, path: Path) -> Iterator[Cells | Rejected]:
        """The texts of a file; ValueError where it is empty, or every judgement would be blamed for it."""
        cells = self._cells(path, ("_id", "text"))  # tells a missing file now

        def records() -> Iterator[Cells | Rejected]:
            first = next(cells, None)
            if first is None:
                raise ValueError(
                    f'{shown(path, self.root)} is empty; expected a JSON object on each line, {{"_id": "1", "text": "…"}}; fetch it again'
                )
            yield first
            yield from cells

        return records()

    def _cells(self, path: Path, needed: Sequence[str]) -> Iterator[Cells | Rejected]:
        path = plain_or_gzipped(path)
        return read_cells(path, file=shown(path, self.root), needed=needed, delimiter="\t", quoting=False)
