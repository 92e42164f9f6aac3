"""How a split came out, beside what was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.corpus.row import Split

TOLERANCE = 0.02  # of all rows: how far a split may be from its share before that is worth a line


@dataclass(frozen=True, slots=True)
class Dealt:
    """Shares of rows of evaluated tasks, wanted and got. ``components``: what was dealt whole; ``largest``: rows in the largest;
    ``oversized``: rows of each that had room nowhere, all put into train."""

    wanted: dict[str, float]
    got: dict[str, float]
    components: int
    largest: int
    oversized: list[int]

    def report(self) -> str | None:
        """A sentence where a split is further than `TOLERANCE` from its share or a component had no room; else None."""
        off = {split: self.got[split] - share for split, share in self.wanted.items()}
        if not self.oversized and max(map(abs, off.values())) <= TOLERANCE:
            return None
        shares = ", ".join(f"{split} {self.got[split]:.3f} (wanted {share:.3f})" for split, share in self.wanted.items())
        whole = (
            f"{len(self.oversized)} with room in no split (rows: {self.oversized}), put into train whole"
            if self.oversized
            else ""
        )
        return (
            f"shares {shares}; {self.components} components, the largest of {self.largest} rows{', ' if whole else ''}{whole}"
        )


def dealt(shares: Mapping[Split, float], given: Mapping[Split, int], sizes: list[int], oversized: list[int]) -> Dealt:
    """``shares`` of all splits dealt to; ``given``: rows each got; ``sizes``: rows of every component. No rows miss no share."""
    total = sum(given.values())
    got: dict[str, float] = {split: given[split] / total if total else share for split, share in shares.items()}
    return Dealt({**shares}, got, len(sizes), max(sizes, default=0), oversized)
