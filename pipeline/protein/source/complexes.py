"""Tables of protein complexes with a measured affinity: CSV, TSV, Excel, JSONL or Parquet; each record a row of task ``affinity``.

Chains stand in the table itself, or in a FASTA file under ``<pdb>_<letter>`` while the table names letters. Mutations may have been
made already, or are made here, each checked against the wild type. What contradicts itself is rejected with the reason.

Some tables join the chains of a side without a mark. Such a side is cut where columns tell the lengths of its chains, or where it is,
letter for letter and in one way only, made of chains that another table marks for the same entry (``cuts``). Nothing else is guessed:
a side that cannot be cut stays whole, and stratum ``chains`` of its row says ``joined``.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.corpus.cells import Cells, Tally, refused
from pipeline.corpus.place import inside, shards, shown
from pipeline.corpus.reading import read_cells
from pipeline.corpus.row import CHAIN_BREAK, CHAINS, JOINED, MARKED, Record, Rejected, Row, checked_row, strata
from pipeline.corpus.settings import checked_columns
from pipeline.corpus.values import content_id, label_in, score_in, text_in
from pipeline.protein.chain import (
    Unit,
    by_entry,
    collapsed,
    cut,
    is_mutated,
    letters,
    mutated,
    pdb_id,
    pkd,
    read_fasta,
    residues,
)

LENGTHS = {"ligand": "ligand_lengths", "receptor": "receptor_lengths"}
LETTERS = {"ligand": "ligand_letters", "receptor": "receptor_letters"}
ROLES = (*LETTERS, *LETTERS.values(), *LENGTHS.values(), "complex", "affinity", "group", "mutations", "assay", "id")


class Complexes:
    """``columns``: ``ligand`` and ``receptor`` hold chains, or nothing where ``fasta`` does and letters are named; ``complex`` is SKEMPI's
    id (1CSE_E_I), which names the group and both sides' letters. ``separator`` parts chains inside a side; an empty one says that chains
    are joined without a mark. ``ligand_lengths`` and ``receptor_lengths`` hold the lengths of a joined side's chains. ``cuts``: a table
    whose chains are marked: ``path``, its column ``group``, its columns ``sides``, its ``separator``; or None. ``unit`` of ``affinity``:
    pkd, M, mM, uM, nM, pM. ``strata``: name -> column of what a row shall be told apart by, beside ``mutated``, ``assay`` and ``chains``;
    ``marks``: name -> {column, word}: "yes" where the column holds the word. ``drop``: letters taken out of chains. Id -> equal chains is
    checked where ``id`` names a column.
    """

    tasks = ("affinity",)

    def __init__(
        self,
        *,
        path: str,
        root: str | None,
        fasta: str | None,
        columns: Mapping[str, str | None],
        separator: str,
        cuts: Mapping[str, Any] | None,
        unit: str,
        lowest_pkd: float,
        highest_pkd: float,
        apply_mutations: bool,
        drop: str,
        strata: Mapping[str, str],
        marks: Mapping[str, Any],
        delimiter: str | None,
        quoting: bool,
    ) -> None:
        self.path = inside(path, root)
        self.root = root
        self.fasta = inside(fasta, root) if fasta else None
        self.columns = checked_columns(columns, required=("affinity",), known=ROLES)
        _check_columns(self.columns, fasta=self.fasta is not None, apply_mutations=apply_mutations)
        pkd(1.0 if unit != "pkd" else lowest_pkd, unit, lowest=min(0, lowest_pkd), highest=max(16, highest_pkd))
        self.separator = separator
        self.cuts = dict(cuts) if cuts else None
        if self.cuts and separator:
            raise ValueError(
                f"cuts are for sides that are joined without a mark, but separator is {separator!r}; set one of them to its default"
            )
        self.unit: Unit = unit  # pyright: ignore[reportAttributeAccessIssue]  checked above
        self.bounds = {"lowest": lowest_pkd, "highest": highest_pkd}
        self.apply_mutations = apply_mutations
        self.drop = str.maketrans("", "", drop)
        self.strata = dict(strata)
        self.marks = {name: (str(mark["column"]), str(mark["word"]).lower()) for name, mark in marks.items()}
        self.delimiter = delimiter
        self.quoting = quoting
        self.tallies = [Tally()]

    def read(self) -> Iterator[Record]:
        stored = by_entry(read_fasta(self.fasta)) if self.fasta else {}
        marked = self._marked()
        columns = [*self.columns.values(), *self.strata.values(), *(column for column, _ in self.marks.values())]
        needed = sorted({column for column in columns if column})
        sides: dict[str, tuple[str, str]] = {}
        for path in shards(self.path):
            file = shown(path, self.root)
            form = {"delimiter": self.delimiter, "quoting": self.quoting, "tally": self.tallies[0]}
            for cells in read_cells(path, file=file, needed=needed, **form):
                if isinstance(cells, Rejected):
                    yield cells
                    continue
                try:
                    row = self._row(cells, stored, marked, sides)
                except ValueError as error:
                    yield refused(cells, str(error))
                    continue
                yield checked_row(cells.file, cells.line, row, lines=cells.lines, size=cells.size)

    def _marked(self) -> dict[str, set[str]]:
        """By entry the chains that the table of ``cuts`` marks."""
        found: dict[str, set[str]] = {}
        if self.cuts:
            path, group, columns = inside(self.cuts["path"], self.root), self.cuts["group"], self.cuts["sides"]
            for part in shards(path):
                file = shown(part, self.root)
                for cells in read_cells(
                    part, file=file, needed=sorted({group, *columns}), delimiter=self.delimiter, quoting=self.quoting
                ):
                    if isinstance(cells, Rejected):
                        continue
                    try:
                        chains = {
                            residues(one)
                            for column in columns
                            for one in text_in(cells.values, column).split(self.cuts["separator"])
                        }
                        found.setdefault(pdb_id(cells.values[group]), set()).update(chains)
                    except ValueError as error:  # it marks nothing; no row of ours is lost by it
                        print(f"{cells.file}:{cells.line}: no cut is taken from here: {error}")
        return found

    def _row(
        self,
        cells: Cells,
        stored: Mapping[tuple[str, str], str],
        marked: Mapping[str, set[str]],
        sides: dict[str, tuple[str, str]],
    ) -> Row:
        values, columns = cells.values, self.columns
        named = label_in(values, columns["complex"])
        parts = named.split("_") if named else []
        if named and len(parts) != 3:
            raise ValueError(f"complex must read like 1CSE_E_I, got {named!r}")
        group = pdb_id(values[columns["group"]] if columns["group"] else parts[0])
        side_letters = [
            letters(text_in(values, columns[role]) if columns[role] else parts[place]) if columns[role] or parts else []
            for place, role in enumerate(LETTERS.values(), start=1)
        ]
        if both := set(side_letters[0]) & set(side_letters[1]):
            raise ValueError(f"repeated chain: {', '.join(sorted(both))} stands on both sides")
        mutations = label_in(values, columns["mutations"], optional=True)
        both_sides = [
            self._side(values, role, own, group, stored, marked) for role, own in zip(LETTERS, side_letters, strict=True)
        ]
        texts = [side for side, _ in both_sides]
        joined = any(whole for _, whole in both_sides)
        if self.apply_mutations and mutations:
            made = mutated({name: chain for side in texts for name, chain in side.items()}, mutations)
            texts = [{name: made[name] for name in side} for side in texts]
        ligand, receptor = (CHAIN_BREAK.join(chain.translate(self.drop) for chain in side.values()) for side in texts)
        key = label_in(values, columns["id"])
        if key is not None and sides.setdefault(key, (ligand, receptor)) != (ligand, receptor):
            raise ValueError(f"id {key!r} stands for different sequences; ids must be unique, or repeat the same chains")
        affinity = score_in(values, columns["affinity"])
        assert affinity is not None, "columns.affinity is required"
        return Row(
            "affinity",
            content_id(ligand),
            ligand,
            content_id(receptor),
            receptor,
            pkd(affinity, self.unit, **self.bounds),
            group=group,
            strata=strata(self._kinds(values, mutations, joined=joined)),
        )

    def _kinds(self, values: Mapping[str, object], mutations: str | None, *, joined: bool) -> dict[str, str]:
        """By stratum what the row is of; ``joined``: a side is, or may be, several chains without marks."""
        columns = self.columns
        kinds = {name: str(values.get(column) or "") for name, column in self.strata.items()}
        kinds |= {
            name: "yes" if word in str(values.get(column) or "").lower() else "no"
            for name, (column, word) in self.marks.items()
        }
        if columns["mutations"]:
            kinds["mutated"] = is_mutated(mutations)
        if columns["assay"]:
            kinds["assay"] = label_in(values, columns["assay"], optional=True) or "Unknown"
        if joined or not self.separator:
            kinds[CHAINS] = JOINED if joined else MARKED
        return kinds

    def _side(
        self,
        values: Mapping[str, object],
        role: str,
        names: list[str],
        group: str,
        stored: Mapping[tuple[str, str], str],
        marked: Mapping[str, set[str]],
    ) -> tuple[dict[str, str], bool]:
        """Letter (or number, where there are none) -> chain; and whether these are, or may be, several chains joined."""
        joined = False
        if self.columns[role]:
            chains = self._chains(values, role, marked.get(group, set()))
            joined = not chains or len(chains) == 1 < len(names)
            chains = chains or [residues(text_in(values, self.columns[role]))]
            if names and len(names) != len(chains):
                if len(names) > 1 and self.apply_mutations:
                    raise ValueError(f"{role}: {len(names)} letters ({', '.join(names)}) for {len(chains)} chains")
                names = []
            found = dict(zip(names or [str(i) for i in range(1, len(chains) + 1)], chains, strict=True))
        else:
            found = {}
            for name in names:
                if (group, name) not in stored:
                    raise ValueError(
                        f"missing chain: {group}_{name} is not in the FASTA file (letters of chains are told apart by case)"
                    )
                found[name] = stored[group, name]
        kept = collapsed(list(found), found)
        if not kept or not all(found[name] for name in kept):
            raise ValueError(
                f"empty chain: {role} holds {len(kept)} chains, of which {sum(not found[n] for n in kept)} are empty"
            )
        return {name: found[name] for name in kept}, joined

    def _chains(self, values: Mapping[str, object], role: str, marked: set[str]) -> list[str] | None:
        """The chains of a side; None where they are joined and nothing tells where."""
        text = text_in(values, self.columns[role])
        if self.separator:
            return [residues(chain) for chain in text.split(self.separator)]
        side, lengths = residues(text), label_in(values, self.columns[LENGTHS[role]], optional=True)
        if not lengths:
            return list(cut(side, marked) or []) or None
        ends = np.cumsum([0, *map(int, re.findall(r"\d+", lengths))]).tolist()
        if ends[-1] != len(side):
            raise ValueError(f"{role}: chains of {lengths} residues are {ends[-1]} in all, but the side has {len(side)}")
        return [side[start:end] for start, end in pairwise(ends)]


def _check_columns(columns: Mapping[str, str | None], *, fasta: bool, apply_mutations: bool) -> None:
    """ValueError where the columns do not say which entry a row is of, and where its chains are."""
    if not columns["complex"] and not columns["group"]:
        raise ValueError(
            "columns must name group (the PDB id) or complex (as in SKEMPI: 1CSE_E_I), got neither; a name that begins with # needs "
            'quotes ("#Pdb"), or YAML takes it for a comment'
        )
    if not fasta and not (columns["ligand"] and columns["receptor"]):
        raise ValueError("columns must name ligand and receptor, the chains of both sides, or fasta the file that holds them")
    named = columns["ligand_letters"] and columns["receptor_letters"]
    if (fasta or apply_mutations) and not (named or columns["complex"]):
        raise ValueError(
            "a FASTA file, and mutations to apply, need the chains' letters: name columns ligand_letters and receptor_letters, or "
            "complex"
        )
    if apply_mutations and not columns["mutations"]:
        raise ValueError("apply_mutations needs columns.mutations, got null")
