"""The identity split and the audit afresh, on simulated families or on kept rows of proteins, with what its parts take alone.

python benchmarks/identity.py --chains 1000                     simulated families, one chain a complex
python benchmarks/identity.py --rows data/curated/ppb_affinity  the rows of a curated corpus, dealt anew
python benchmarks/identity.py --chains 1000 --giant remove --peer .../python    GraphPart in that Python, on the same graph

Families of 1 to 20 chains, each a mutant of an ancestor that keeps 30 to 90 % of its residues. Seconds are of CPU, of all threads
and child processes, with the time on the clock beside. ``raw``: parasail's own rate, score-only calls with the longer chain as the
profile, over pairs drawn from those across splits; the audit's rate counts the cells of all of these, over all that the audit takes.
``plain search``: MMseqs2's search of all chains with all, as one runs it by hand; ``search``: at the same limits, near chains taken as one
before, which is part of the split.

GraphPart (`precomputed` mode, threshold 0.3, same shares) is told complexes and weights of edges. ``graph``: an edge where two
complexes share a family, as the cut sees them. It knows neither rows nor chains.
"""

import argparse
import csv
import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import parasail

from pipeline.corpus.files import read
from pipeline.corpus.row import SPLITS, Row
from pipeline.protein.audit.chains import Chains
from pipeline.protein.audit.shared import Stretches
from pipeline.protein.split.alignment import aligner
from pipeline.protein.split.compared import chains_of
from pipeline.protein.split.exact import Exact
from pipeline.protein.split.identity import Identity, _Units
from pipeline.protein.split.mmseqs import Mmseqs
from pipeline.protein.split.rule import GAP_EXTEND, GAP_OPEN

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
DRAWN = 20_000  # pairs that parasail's own rate is taken over
RULE = {"identity": 0.3, "coverage": 0.8, "coverage_of": "both"}


def simulated(num_chains: int, seed: int) -> list[Row]:
    draw = random.Random(seed)
    chains: list[str] = []
    while len(chains) < num_chains:
        ancestor = draw.choices(LETTERS, k=draw.randint(60, 400))
        for _ in range(draw.randint(1, 20)):
            kept = draw.uniform(0.3, 0.9)
            chains.append("".join(residue if draw.random() < kept else draw.choice(LETTERS) for residue in ancestor))
    chains = chains[:num_chains]
    return [Row("affinity", f"c{i}", chain, f"c{i}", chain, 7.0, group=str(i)) for i, chain in enumerate(chains)]


def cpu() -> float:
    return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


@contextmanager
def timed(what: str, found: dict[str, float]) -> Iterator[None]:
    start, used = time.perf_counter(), cpu()
    yield
    found[what] = cpu() - used
    print(f"{what}: {found[what]:.1f} s of CPU, {time.perf_counter() - start:.1f} s on the clock", flush=True)


def score(profile: parasail.Profile, other: str) -> None:
    parasail.sw_striped_profile_sat(profile, other, GAP_OPEN, GAP_EXTEND)


def plain_search(search: Mmseqs, chains: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        search._write(folder / "all.fasta", chains)
        limits = ("--min-seq-id", str(search.identity), "-e", str(search.evalue), "-s", str(search.sensitivity))
        every = ("--max-seqs", str(len(chains)), "--comp-bias-corr", "0", "--format-output", "query,target")
        both = folder / "all.fasta"
        search._run(
            "easy-search", both, both, folder / "hits", folder / "work", *limits, *every, "--threads", str(search.threads)
        )


def audited_cells(parts: dict[str, list[Row]]) -> tuple[int, list[tuple[str, str]]]:
    """Cells of all pairs across splits, and some of these pairs, the longer chain first."""
    total, pairs = 0, []
    draw = np.random.default_rng(0)
    chains = {name: sorted({chain for row in rows for chain in chains_of(row)}) for name, rows in parts.items()}
    for held, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        ours, theirs = chains[held], chains[other]
        total += sum(map(len, ours)) * sum(map(len, theirs))
        drawn = draw.integers(0, len(ours) * len(theirs), DRAWN).tolist()
        both = [(ours[place // len(theirs)], theirs[place % len(theirs)]) for place in drawn]
        pairs += [(max(pair, key=len), min(pair, key=len)) for pair in both]
    return total, sorted(pairs, key=lambda pair: pair[0])


def raw_rate(pairs: list[tuple[str, str]]) -> float:
    """Cells a second of CPU: of the alignment calls alone, profiles made beforehand."""
    profiles = {longer: parasail.profile_create_sat(longer, parasail.blosum62) for longer, _ in pairs}
    start = time.process_time()
    for longer, shorter in pairs:
        score(profiles[longer], shorter)
    return sum(len(longer) * len(shorter) for longer, shorter in pairs) / (time.process_time() - start)


def graph_part(python: str, split: Identity, rows: list[Row]) -> tuple[int, int]:
    """Complexes that GraphPart keeps, and all of them."""
    units = _Units(rows)
    family = split.families(units.chains)
    holders: dict[int, set[int]] = {}
    for unit, own in enumerate(units.chains_of):
        for chain in own:
            holders.setdefault(int(family[chain]), set()).add(unit)
    edges = sorted({(a, b) for of in holders.values() for a in of for b in of if a < b})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [f">{unit}\n{units.chains[own[0]] if own else 'A'}\n" for unit, own in enumerate(units.chains_of)]
        (folder / "all.fasta").write_text("".join(texts))
        (folder / "edges.csv").write_text("".join(f"{a},{b},1.0\n" for a, b in edges))
        how = ["-ff", "all.fasta", "-th", "0.3", "-ef", "edges.csv", "-te", "0.1", "-va", "0.1", "-of", "out.csv"]
        program = str(Path(python).parent / "graphpart")
        subprocess.run([program, "precomputed", *how, "-tf", "one-minus"], cwd=folder, check=True, capture_output=True)
        with (folder / "out.csv").open() as file:
            return len({line["AC"] for line in csv.DictReader(file)}), len(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=1000)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--giant", choices=("whole", "remove"), default="whole")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer", help="Python of an environment with graph-part")
    arguments = parser.parse_args()
    rows = simulated(arguments.chains, 0)
    if arguments.rows:
        rows = [row for split in SPLITS for row in read(arguments.rows / f"{split}.parquet", Row)]
        rows = [Row(**{**{name: getattr(row, name) for name in row.__slots__}, "split": None}) for row in rows]
    search = Mmseqs(sensitivity=7.5, identity=0.25, evalue=10.0, collapse=0.5, threads=arguments.workers, binary=None)
    counted = Stretches(letters=[30, 60, 100], columns=50, identity=0.3, score=92, forbid="none", workers=arguments.workers)
    audit = Chains(sample=20_000, search=search, stretches=counted, workers=arguments.workers, max_shown=1, **RULE)
    chains = sorted({chain for row in rows for chain in chains_of(row)})
    used: dict[str, float] = {}
    if not arguments.rows:
        with timed("plain search", used):
            plain_search(search, chains)
    with timed("search", used):
        search(chains)
    for name, kind in (("mmseqs", search), ("exact", Exact())):
        split = Identity(
            validation=0.1, test=0.1, seed=0, giant=arguments.giant, workers=arguments.workers, search=kind, **RULE
        )
        with timed(f"split, {name}", used):
            found = split(rows)
        aligner.cache_clear()
        parts = {split: [row for row in found if row.split == split] for split in SPLITS}
        with timed("audit", used):
            leaks = [
                audit(parts[other], parts[held], str).num_leaks
                for held, other in (("test", "train"), ("validation", "train"), ("test", "validation"))
            ]
        cells, pairs = audited_cells(parts)
        raw, ours = raw_rate(pairs), cells / used["audit"]
        print(f"related pairs of test and train, validation and train, test and validation: {leaks}")
        both = used[f"split, {name}"] + used["audit"]
        for than in ("plain search", "search"):
            if than in used:
                print(f"split and audit take {both / used[than]:.2f} times the CPU of MMseqs2's {than} alone")
        print(
            f"audit: {cells / 1e9:.1f} G cells, {ours / 1e9:.2f} G a second of CPU, raw {raw / 1e9:.2f}: {ours / raw:.2f} of it"
        )
        print(split.dealt, flush=True)
    if arguments.peer:
        kept, of = graph_part(arguments.peer, split, rows)
        print(f"GraphPart keeps {kept} of {of} complexes")


if __name__ == "__main__":
    main()
