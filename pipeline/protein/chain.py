"""Protein chains as people write them: FASTA, chain letters, mutations, affinities. Faults are ValueErrors that say what was found."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pipeline.corpus.lines import read_lines
from pipeline.corpus.place import found, plain_or_packed

Unit: TypeAlias = Literal["pkd", "M", "mM", "uM", "nM", "pM"]
IN_MOLAR: dict[str, float] = {"M": 1.0, "mM": 1e-3, "uM": 1e-6, "nM": 1e-9, "pM": 1e-12}
PDB = re.compile(r"[0-9][A-Za-z0-9]{3}")
# Wild type, chain, number, mutant (SKEMPI: LI38G) or chain, wild type, number, mutant (PPB-Affinity: I_L38G).
SKEMPI = re.compile(r"(?P<wild>[A-Z])(?P<chain>[A-Za-z0-9])(?P<number>\d+)(?P<mutant>[A-Z])")
PPB = re.compile(r"(?P<chain>[A-Za-z0-9])_(?P<wild>[A-Z])(?P<number>\d+)(?P<mutant>[A-Z])")
WILD_TYPE = ("", "wt")


def residues(text: str) -> str:
    """The letters of a chain as every later stage reads them: upper case, no white space."""
    return "".join(text.split()).upper()


def read_fasta(path: Path) -> dict[str, str]:
    """Chains by the first word of their header, in the file's order; ``path`` may be gzipped."""
    sequences: dict[str, list[str]] = {}
    name: str | None = None
    for line, text in enumerate(read_lines(plain_or_packed(path)), start=1):
        if text.startswith(">"):
            name = text[1:].split(maxsplit=1)[0] if text[1:].strip() else ""
            if not name or name in sequences:
                raise ValueError(
                    f"{path}:{line}: expected an id that stands once, found {name!r}; name every sequence, each differently"
                )
            sequences[name] = []
        elif text.strip():
            if name is None:
                raise ValueError(
                    f"{path}:{line}: expected a header that starts with '>', found {text[:40]!r}; is this a FASTA file?"
                )
            sequences[name].append(text.strip())
    if not sequences:
        raise ValueError(f"{found(path)}: expected FASTA sequences, found none; fetch the file again")
    return {name: residues("".join(parts)) for name, parts in sequences.items()}


def by_entry(chains: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Chains named <pdb>_<letter> by entry (its letter case means nothing) and letter (whose case does: A and a are two chains)."""
    found: dict[tuple[str, str], str] = {}
    for name, chain in chains.items():
        entry, _, letter = name.rpartition("_")
        if found.setdefault((entry.lower(), letter), chain) != chain:
            raise ValueError(f"FASTA: {entry.lower()}_{letter} stands twice with different sequences; name each chain once")
    return found


def pkd(value: float, unit: str, *, lowest: float, highest: float) -> float:
    """-log10 of a dissociation constant in mol/l; ``value`` is that constant in ``unit``, or already the logarithm."""
    if unit not in get_args(Unit):
        raise ValueError(f"unit must be one of {', '.join(get_args(Unit))}, got {unit!r}")
    if unit != "pkd" and not value > 0:
        raise ValueError(f"KD must be above 0, got {value:g} {unit}")
    found = value if unit == "pkd" else -math.log10(value * IN_MOLAR[unit])
    if not lowest <= found <= highest:
        raise ValueError(
            f"pKd must lie in [{lowest:g}, {highest:g}], got {found:.2f} from {value:g} {unit}: is the unit right?"
        )
    return found


def pdb_id(text: object) -> str:
    """A PDB id in lower case. Spreadsheets turn 1E50 into 1.00E+50 and 4MAY into a date: told, not guessed back."""
    if not isinstance(text, str) or not PDB.fullmatch(text.strip()):
        raise ValueError(f"a PDB id is a digit and three letters or digits, got {text!r}: has a spreadsheet changed it?")
    return text.strip().lower()


def letters(text: str) -> list[str]:
    """Chain letters as in "AB", "A, B" or "A;B"."""
    parts = [part for part in re.split(r"[\s,;:|]+", text.strip()) if part]
    return list(parts[0]) if len(parts) == 1 else parts


def cut(side: str, chains: Iterable[str]) -> tuple[str, ...] | None:
    """``side`` as some of ``chains`` end to end, letter for letter; None where that is impossible, or possible in more than one way."""
    known = sorted(set(chains) - {""})
    ways = [1] + [0] * len(side)  # to have come to each place, counted up to 2
    last: dict[int, str] = {}  # of such a way, the chain that ends there
    for place in range(len(side)):
        if ways[place]:
            for one in known:
                if side.startswith(one, place):
                    end = place + len(one)
                    ways[end], last[end] = min(2, ways[end] + ways[place]), one
    if ways[len(side)] != 1:
        return None
    found: list[str] = []
    place = len(side)
    while place:
        found.append(last[place])
        place -= len(last[place])
    return tuple(reversed(found))


def collapsed(names: Sequence[str], chains: Mapping[str, str]) -> list[str]:
    """``names`` without a lower-case one that repeats the chain of its upper-case twin, as crystal copies are written."""
    return [
        name
        for i, name in enumerate(names)
        if name not in names[:i]
        and not (name.upper() != name and name.upper() in names and chains[name] == chains[name.upper()])
    ]


def mutated(chains: Mapping[str, str], text: str) -> dict[str, str]:
    """``chains`` with the mutations of ``text`` made, after a check that each finds the wild type it names; numbers count from 1."""
    changed = dict(chains)
    for word in (word for word in re.split(r"[\s,;]+", text.strip()) if word.lower() not in WILD_TYPE):
        match = PPB.fullmatch(word) or SKEMPI.fullmatch(word)
        if match is None:
            raise ValueError(f"mutation not understood: {word!r}; expected LI38G (wild type, chain, number, mutant) or I_L38G")
        name, place = match["chain"], int(match["number"])
        if name not in chains:
            raise ValueError(f"mutation of a missing chain: {word} names {name}, the complex has {', '.join(chains)}")
        if not 1 <= place <= len(chains[name]):
            raise ValueError(f"mutation beyond the chain: {word}, but chain {name} has {len(chains[name])} residues")
        if chains[name][place - 1] != match["wild"]:
            raise ValueError(
                f"mutation contradicts the wild type: {word}, but residue {place} of {name} is {chains[name][place - 1]}"
            )
        changed[name] = changed[name][: place - 1] + match["mutant"] + changed[name][place:]
    return changed


def is_mutated(text: str | None) -> str:
    """ "yes", "no", or "unknown" where the table says so with a question mark."""
    plain = (text or "").strip().lower()
    return "no" if plain in WILD_TYPE else "unknown" if plain == "?" else "yes"
