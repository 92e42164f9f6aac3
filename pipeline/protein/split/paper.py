"""The published split of PPB-Affinity, for comparison: it bounds the identity of whole complexes, not of their chains.

All chains of a complex are one sequence. Clusters go to train, the largest first, until it has its share; what is still near
train follows until nothing is; the rest is clustered again and its clusters go to test and validation in turn. Rows of one
group (PDB entry) always move together.

Source: "Beyond Simple Concatenation", arXiv:2505.20036, and its code.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pipeline.corpus.row import Row, Split
from pipeline.protein.split.compared import chains_of
from pipeline.protein.split.mmseqs import Mmseqs
from pipeline.split.dealt import Dealt, dealt
from pipeline.split.group import unit_keys

COVERAGE = 0.8  # MMseqs2's default of the clustering, and what the published search asks for


class Paper:
    """``train``: the share of rows at which train stops taking clusters; it ends with more."""

    def __init__(self, *, train: float, identity: float, search: Mmseqs) -> None:
        if not (0 < train < 1 and 0 < identity <= 1):
            raise ValueError(f"train and identity are shares, got {train} and {identity}; write 0.30 for 30 percent")
        self.train = train
        self.identity = identity
        self.search = search
        self.dealt: Dealt | None = None

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        texts = ["".join(chains_of(row)) for row in rows]  # empty: a row without chains stands alone
        units = unit_keys(rows)
        found: dict[str, Split] = {}
        for cluster in self._clusters(texts):
            if sum(unit in found for unit in units) >= self.train * len(rows):
                break
            found |= dict.fromkeys((units[i] for i in cluster), "train")
        while open_ := [i for i in range(len(rows)) if units[i] not in found]:
            train = [texts[i] for i in range(len(rows)) if units[i] in found and texts[i]]
            asked = [i for i in open_ if texts[i]]
            if not (near := self.search.hits([texts[i] for i in asked], train, self.identity, COVERAGE) if asked else set()):
                break
            found |= dict.fromkeys((units[asked[k]] for k in near), "train")
        turn = 0
        for cluster in self._clusters([texts[i] for i in open_]) if open_ else []:
            fresh = {units[open_[k]] for k in cluster} - set(found)
            if fresh:
                split: Split = ("test", "validation")[turn % 2]
                found |= dict.fromkeys(fresh, split)
                turn += 1
        splits: list[Split] = [found[unit] for unit in units]
        given = Counter(splits)
        rest = (1 - self.train) / 2
        wanted: dict[Split, float] = {"train": self.train, "validation": rest, "test": rest}
        self.dealt = replace(
            dealt(wanted, given, list(Counter(units).values()), []),
            notes={"mmseqs2": self.search.version() if any(texts) else "not needed"},
        )
        return [replace(row, split=split) for row, split in zip(rows, splits, strict=True)]

    def _clusters(self, texts: Sequence[str]) -> list[list[int]]:
        """Places of ``texts`` by cluster, the largest first."""
        members: dict[int, list[int]] = {i: [i] for i, text in enumerate(texts) if not text}
        filled = [i for i, text in enumerate(texts) if text]
        found = self.search.clusters([texts[i] for i in filled], self.identity).tolist() if filled else []
        for place, first in zip(filled, found, strict=True):
            members.setdefault(filled[first], []).append(place)
        return sorted(members.values(), key=lambda of: (-len(of), of[0]))
