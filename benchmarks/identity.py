"""Simulated protein families through the identity split, and the audit afresh: `python benchmarks/identity.py --chains 1000`.

Families of 1 to 20 chains, each a mutant of an ancestor that keeps 30 to 90 % of its residues; each chain stands for a
complex of its own.
"""

import argparse
import random
import time

from pipeline.corpus.row import Row
from pipeline.split.alignment import aligner
from pipeline.split.chains import Chains
from pipeline.split.identity import Identity
from pipeline.split.mmseqs import Mmseqs

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=1000)
    parser.add_argument("--giant", choices=("whole", "remove"), default="whole")
    arguments = parser.parse_args()
    rows = simulated(arguments.chains, 0)
    rule = {"identity": 0.3, "coverage": 0.8, "coverage_of": "both"}
    search = Mmseqs(sensitivity=7.5, identity=0.25, evalue=10.0, collapse=0.5, threads=2, binary=None)
    split = Identity(validation=0.1, test=0.1, seed=0, giant=arguments.giant, workers=2, search=search, **rule)
    start = time.perf_counter()
    search(sorted({row.query for row in rows}))
    searched = time.perf_counter()
    found = split(rows)
    dealt = time.perf_counter()
    aligner.cache_clear()
    audit = Chains(workers=2, max_shown=1, **rule)
    train = [row for row in found if row.split == "train"]
    leaks = [audit(train, [row for row in found if row.split == name], str).num_leaks for name in ("validation", "test")]
    done = time.perf_counter()
    print(
        f"search alone {searched - start:.1f} s, split {dealt - searched:.1f} s, audit afresh {done - dealt:.1f} s, leaks {leaks}"
    )
    print(split.dealt)


if __name__ == "__main__":
    main()
