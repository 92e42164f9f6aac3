"""The texts of the train rows, as a model reads them: what derivations and forms learn from."""

from pathlib import Path
from typing import NamedTuple

from pipeline.corpus.files import read_rows
from pipeline.task import kind_of


class Text(NamedTuple):
    """A text of a train row, with the task and the side (``query`` or ``document``) whose prompt it is read with."""

    task: str
    side: str
    text: str


def train_texts(curated: Path) -> list[Text]:
    """Of all curated train rows. Names of classes are no texts, and a complex has no vector."""
    found: list[Text] = []
    for _, row in read_rows(curated, "train"):
        shape = kind_of(row).shape
        if shape != "complexes":
            found.append(Text(row.task, "query", row.query))
        if shape not in ("complexes", "labelled"):
            found.append(Text(row.task, "document", row.document))
    return found
