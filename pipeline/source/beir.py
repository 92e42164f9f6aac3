"""A retrieval collection in a folder: a corpus, queries, and judgements by split.

BEIR's layout: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<part>.tsv``. That of newer mteb repositories: folders ``corpus``,
``queries`` and ``qrels`` of Parquet files, the judgements as ``<part>-00000-of-00001.parquet``. Both may be mixed, and text packed.

A judged pair becomes a row with its judgement as score, every document a candidate. Judgements of 0 stay: somebody looked and
said no, which makes a better hard negative than a document nobody judged.

Source: Thakur et al. 2021, arXiv:2104.08663.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from pipeline.corpus.cells import Cells, Needed, Tally
from pipeline.corpus.judged import CORPUS_ID, ID, QUERY_ID, judged_records
from pipeline.corpus.place import PACKED, found, inside, plain_or_packed, shards, shown, suffix, tell_beside, unpacked
from pipeline.corpus.reading import read_cells
from pipeline.corpus.row import Record, Rejected, Split
from pipeline.corpus.settings import checked_splits
from pipeline.corpus.task_rows import TaskRows

FORMS = (".jsonl", ".json", ".parquet", ".csv", ".tsv")
JUDGED = (".tsv", *(form for form in FORMS if form != ".tsv"))
HOLDERS = ("qrels", "default", "data")  # folders that judgements may lie in


class Beir:
    """``splits`` maps a split of ours to the qrels file (without its ending) that judges it, to several, or to null.

    A judgement counts as relevant above ``relevant_above``.
    """

    def __init__(
        self,
        *,
        path: str,
        root: str | None,
        splits: Mapping[str, str | Sequence[str] | None],
        task: str,
        kind: str | None,
        relevant_above: float,
    ) -> None:
        self.of = TaskRows(task, kind)
        if self.of.kind.shape != "ranked":
            raise ValueError(
                f"a BEIR folder holds judged documents, so its task must be of kind retrieval, got {self.of.kind.name!r}"
            )
        self.path = inside(path, root)
        self.root = root
        self.relevant_above = relevant_above
        self.parts: list[tuple[Split, Path]] = [
            (split, inside(f"{path}/qrels/{stem}.tsv", root)) for split, stem in checked_splits("splits", splits)
        ]
        self.tallies = [Tally(name) for name in ("the corpus", "the queries", "the judgements")]

    def read(self) -> Iterator[Record]:
        found(self.path)
        # A missing judgement file is told before the corpus is read, not minutes after.
        files: list[tuple[Split, list[Path]]] = [(split, self._judgement_files(path)) for split, path in self.parts]
        needed: Needed = (QUERY_ID, CORPUS_ID, "score")
        judgements: list[tuple[Split, Iterator[Cells | Rejected]]] = [
            (split, self._cells(paths, needed, self.tallies[2])) for split, paths in files
        ]
        texts = [self._texts(name, tally) for name, tally in zip(("corpus", "queries"), self.tallies[:2], strict=True)]
        read = [path for _, paths in files for path in paths]
        for folder in sorted({path.parent for path in read}):
            tell_beside(folder, [path for path in read if path.parent == folder])
        tell_beside(self.path, [*read, *(path for _, paths in texts for path in paths)])
        corpus, queries = (cells for cells, _ in texts)
        return judged_records(corpus, queries, judgements, of=self.of, relevant_above=self.relevant_above)

    def _judgement_files(self, asked: Path) -> list[Path]:
        """The file itself, in another format or packed; or its parts in one of the folders that newer repositories have."""
        part = asked.relative_to(self.path / "qrels").with_suffix("").as_posix()
        for folder in (self.path / holder for holder in HOLDERS):
            for ending in JUDGED:
                for packed in ("", *PACKED):
                    if (folder / f"{part}{ending}{packed}").exists():
                        return [plain_or_packed(folder / f"{part}{ending}")]
            if folder.is_dir():
                parts = [one for one in sorted(folder.iterdir()) if re.fullmatch(rf"{re.escape(part)}-\d+-of-\d+", _stem(one))]
                if parts:
                    return parts
        return [plain_or_packed(asked)]

    def _texts(self, name: str, tally: Tally) -> tuple[Iterator[Cells | Rejected], list[Path]]:
        """The texts of ``corpus`` or ``queries``, and their files; ValueError where there is none, or judgements would be blamed for it."""
        folder = self.path / name
        there = [self.path / f"{name}{ending}{packed}" for ending in FORMS for packed in ("", *PACKED)]
        there = [path for path in there if path.exists()]
        if folder.is_dir() and not there:
            paths = shards(folder)
        else:
            paths = [plain_or_packed(self.path / unpacked(there[0].name) if there else self.path / f"{name}.jsonl")]
        cells = self._cells(paths, (ID, "text"), tally)

        def records() -> Iterator[Cells | Rejected]:
            first = next(cells, None)
            if first is None:
                raise ValueError(
                    f"{shown(paths[0], self.root)} is empty; "
                    'expected a JSON object on each line, {"_id": "1", "text": "…"}; fetch it again'
                )
            yield first
            yield from cells

        return records(), paths

    def _cells(self, paths: Sequence[Path], needed: Needed, tally: Tally) -> Iterator[Cells | Rejected]:
        form = {"needed": needed, "also": ("title",), "quoting": False, "tally": tally}
        return chain.from_iterable(
            [
                read_cells(path, file=shown(path, self.root), delimiter="\t" if suffix(path) == ".tsv" else ",", **form)
                for path in paths
            ]
        )


def _stem(path: Path) -> str:
    return unpacked(path.name).removesuffix(suffix(path))
