"""Chains by themselves, from a FASTA file: documents of no row, which searches and evaluations may take as candidates."""

import re
from collections.abc import Iterator

from pipeline.corpus.cells import Tally
from pipeline.corpus.place import inside, shown
from pipeline.corpus.row import Document, Record, Rejected
from pipeline.protein.chain import read_fasta


class Fasta:
    tasks = ()

    def __init__(self, *, path: str, root: str | None) -> None:
        self.path = inside(path, root)
        self.file = shown(self.path, root)
        self.tallies = [Tally()]

    def read(self) -> Iterator[Record]:
        for name, chain in read_fasta(self.path).items():
            self.tallies[0].add(self.file, 1, len(chain))
            if re.fullmatch("[A-Z]+", chain):
                yield Document(name, chain)
            else:
                strange = "".join(sorted({letter for letter in chain if not "A" <= letter <= "Z"}))
                reason = f"holds {strange!r}, which is no residue" if chain else "has no residues"
                yield Rejected(self.file, 0, f"chain {name!r} {reason}", chain[:200], 1, len(chain))
