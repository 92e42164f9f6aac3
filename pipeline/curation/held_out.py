"""The curated rows that models are scored on, as a trainer goes through them: one collection a batch."""

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from pipeline.corpus.collection import Collection, collections
from pipeline.corpus.files import corpora
from pipeline.corpus.row import Split

HELD_OUT: tuple[Split, ...] = ("validation", "test")


class HeldOut(pl.LightningDataModule):
    """Batches are ``(split, collection)``. ``deal``: the split by which the rows were dealt again; None: the corpora's own.
    ``answers`` says which collections the model has an answer for; the others are left out."""

    def __init__(self, curated: Path, *, deal: str | None, answers: Callable[[Collection], bool]) -> None:
        super().__init__()
        self.curated = curated
        self.deal = deal
        self.answers = answers
        self.found: list[tuple[Split, Collection]] = []

    def setup(self, stage: str) -> None:
        """ValueError where no corpus has a test row."""
        found: list[tuple[Split, Collection]] = [
            (split, one)
            for corpus in corpora(self.curated)
            for split in HELD_OUT
            for one in collections(self.curated, corpus, split, deal=self.deal)
        ]
        if not any(split == "test" for split, _ in found):
            raise ValueError(
                "no corpus has a test row to evaluate; raise curate.split.test, or add a corpus with a test split. Where test rows are "
                "there, the lines above, and those of curate, say why none can be scored"
            )
        self.found = [(split, one) for split, one in found if self.answers(one)]

    def test_dataloader(self) -> DataLoader[tuple[Split, Collection]]:
        return DataLoader(self.found, batch_size=None)  # pyright: ignore[reportArgumentType]
