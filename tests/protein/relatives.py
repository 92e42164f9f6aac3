"""Chains drawn at random, and mutants of them."""

from pipeline.corpus.row import Row

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def chain(draw, length, letters=LETTERS):
    return "".join(draw.choices(letters, k=length))


def mutant(draw, parent, share):
    return "".join(draw.choice(LETTERS) if draw.random() < share else residue for residue in parent)


def families(draw):
    """Twenty families of eight complexes, each with a partner of its own; relatives keep 40 to 80 % of their residues."""
    found = []
    for family in range(20):
        parent = chain(draw, draw.randint(60, 160))
        for k in range(8):
            ligand, receptor = mutant(draw, parent, draw.uniform(0.2, 0.6)), chain(draw, draw.randint(60, 160))
            found.append(Row("affinity", f"l{family}.{k}", ligand, f"r{family}.{k}", receptor, 7.0, group=f"{family}.{k}"))
    return found
