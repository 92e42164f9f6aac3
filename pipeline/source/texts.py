"""A folder of texts and nothing else: no pairs, no labels, no judgements.

Files are cut into passages at blank lines, and each passage is a row of task `retrieval`: its first sentence, and the rest of it, which
that sentence must find (the inverse cloze task). So there is something to learn from and to score before anybody has judged anything. A
passage of one sentence is cut in its middle. Passages of one file end in one split where there are `MANY` files or more.
Price: what is scored is whether a beginning finds its text, which no user asks; a heading that repeats finds many texts.

Source of the task: Lee et al. 2019 (ORQA), arXiv:1906.00300, section 3, there with a random sentence.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.corpus.cells import Tally
from pipeline.corpus.passages import halves, passages
from pipeline.corpus.place import checked_file, found, inside, shown
from pipeline.corpus.row import Record, Rejected, Row, checked_row

MANY = 30  # files, of which a tenth can be held out


class Texts:
    """``endings``: of the files that are read, in the folder and those below it. A file that is named itself is always read."""

    tasks = ("retrieval",)

    def __init__(self, *, path: str, root: str | None, endings: Sequence[str], min_words: Annotated[int, Field(gt=1)]) -> None:
        self.path = inside(path, root)
        self.root = root
        self.endings = tuple(ending.lower() for ending in endings)
        self.min_words = min_words
        self.tallies = [Tally()]

    def read(self) -> Iterator[Record]:
        files, short = self._files(), 0
        for file in files:
            name, content = shown(file, self.root), file.read_bytes()
            try:
                text = content.decode("utf-8-sig")
            except UnicodeDecodeError:
                self.tallies[0].add(name, 1, len(content))
                yield Rejected(name, 0, "not valid UTF-8", "", 1, len(content))
                continue
            for number, passage in enumerate(passages(text, self.min_words)):
                pair = halves(passage) if len(passage.split()) >= self.min_words else None
                if pair is None:
                    short += 1
                    continue
                self.tallies[0].add(name, 1, len(passage))
                place = f"{name}#{number}"
                group = name if len(files) >= MANY else None
                yield checked_row(name, number + 1, Row("retrieval", place, pair[0], place, pair[1], group=group))
        if short:
            print(f"{self.path}: {short} texts of fewer than {self.min_words} words are left out (min_words)")

    def _files(self) -> list[Path]:
        """In the order of their paths; ValueError where there is none."""
        if not found(self.path).is_dir():
            return [checked_file(self.path)]
        every = [
            file
            for file in sorted(self.path.rglob("*"))
            if not any(part.startswith(".") for part in file.relative_to(self.path).parts)
        ]
        files = [file for file in every if file.is_file() and file.name.lower().endswith(self.endings)]
        if not files:
            raise ValueError(
                f"expected texts in {self.path}, found no file that ends in {', '.join(self.endings)}; put them there, or set endings"
            )
        return files
