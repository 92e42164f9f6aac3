"""Chains by themselves, from a FASTA file: texts to pretrain on, as documents of no row."""

from collections.abc import Iterator

from pipeline.corpus.chain import read_fasta
from pipeline.corpus.reading import inside
from pipeline.corpus.row import Document, Record


class Fasta:
    tasks = ()

    def __init__(self, *, path: str, root: str | None) -> None:
        self.path = inside(path, root)

    def read(self) -> Iterator[Record]:
        for name, chain in read_fasta(self.path).items():
            yield Document(name, chain)
