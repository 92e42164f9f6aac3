"""Lists of protein pairs that bind or do not, with their sequences in a FASTA file.

As ``partners`` only pairs that bind become rows: contrastive training makes its own negatives. As ``pair_classification`` all do.
"""

from collections.abc import Iterator, Mapping

from pipeline.corpus.cells import Tally, refused
from pipeline.corpus.place import inside, plain_or_packed, shown
from pipeline.corpus.reading import read_cells
from pipeline.corpus.row import Record, Rejected, Row, checked_row
from pipeline.corpus.settings import checked_columns
from pipeline.corpus.values import label_in, score_in
from pipeline.protein.chain import read_fasta
from pipeline.task import KINDS

ROLES = ("protein1", "protein2", "binds")
TASKS = tuple(
    name for name, kind in KINDS.items() if kind.shape == "paired" and (kind.score == "binary" or kind.texts == "residues")
)


class Ppi:
    """``columns``: the ids of both proteins and whether they bind, 1 or 0."""

    def __init__(
        self, *, path: str, fasta: str, root: str | None, columns: Mapping[str, str | None], task: str, delimiter: str | None
    ) -> None:
        if task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
        self.path, self.fasta = inside(path, root), inside(fasta, root)
        self.root = root
        self.columns = checked_columns(columns, required=ROLES, known=ROLES)
        self.task = task
        self.all = KINDS[task].score == "binary"
        self.delimiter = delimiter
        self.tallies = [Tally()]

    def read(self) -> Iterator[Record]:
        chains = read_fasta(self.fasta)
        path = plain_or_packed(self.path)
        needed = sorted({column for column in self.columns.values() if column})
        form = {"delimiter": self.delimiter, "quoting": False, "tally": self.tallies[0]}
        for cells in read_cells(path, file=shown(path, self.root), needed=needed, **form):
            if isinstance(cells, Rejected):
                yield cells
                continue
            try:
                names = [str(label_in(cells.values, self.columns[role])) for role in ("protein1", "protein2")]
                binds = score_in(cells.values, self.columns["binds"])
                if missing := [name for name in names if name not in chains]:
                    raise ValueError(f"missing chain: {', '.join(missing)} is not in the FASTA file")
                if binds not in (0, 1):
                    raise ValueError(f"{self.columns['binds']!r} must be 1 (binds) or 0, got {binds}")
            except ValueError as error:
                yield refused(cells, str(error))
                continue
            if binds or self.all:
                left, right = (chains[name] for name in names)
                score = binds if self.all else None
                yield checked_row(cells.file, cells.line, Row(self.task, names[0], left, names[1], right, score))
