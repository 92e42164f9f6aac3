import random
from dataclasses import replace

import numpy as np
import pytest

from pipeline.corpus.row import Row
from pipeline.split.alignment import Aligner, Rule, aligned
from pipeline.split.chains import Chains
from pipeline.split.identity import Identity, _cover
from pipeline.split.mmseqs import Mmseqs
from pipeline.split.separator import separated

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
RULE = Rule(0.30, 0.80, "both")
SEARCH = {"sensitivity": 7.5, "identity": 0.25, "evalue": 10.0, "collapse": 0.5, "threads": 1, "binary": None}


def chain(draw, length):
    return "".join(draw.choices(LETTERS, k=length))


def mutant(draw, parent, share):
    return "".join(draw.choice(LETTERS) if draw.random() < share else residue for residue in parent)


@pytest.fixture(scope="module")
def rows():
    """Twenty families of eight complexes, each with a partner of its own; relatives keep 40 to 80 % of their residues."""
    draw = random.Random(0)
    found = []
    for family in range(20):
        parent = chain(draw, draw.randint(60, 160))
        for k in range(8):
            ligand, receptor = mutant(draw, parent, draw.uniform(0.2, 0.6)), chain(draw, draw.randint(60, 160))
            found.append(Row("affinity", f"l{family}.{k}", ligand, f"r{family}.{k}", receptor, 7.0, group=f"{family}.{k}"))
    return found


def split(**changes):
    values = {"validation": 0.1, "test": 0.1, "seed": 0, "identity": 0.3, "coverage": 0.8, "coverage_of": "both"}
    return Identity(**(values | {"giant": "whole", "workers": 2, "search": Mmseqs(**SEARCH)} | changes))


def smith_waterman(left, right):
    """(identity, span of left, span of right) of a best local alignment, by the textbook: three matrices, traced back."""
    import parasail  # for the numbers of BLOSUM62 alone

    matrix, order = parasail.blosum62.matrix, "ARNDCQEGHILKMFPSTWYVBZX*"
    value = {(a, b): int(matrix[order.index(a)][order.index(b)]) for a in LETTERS for b in LETTERS}
    size = (len(left) + 1, len(right) + 1)
    best, over, under = np.zeros(size, int), np.full(size, -(10**6)), np.full(size, -(10**6))
    for i in range(1, size[0]):
        for j in range(1, size[1]):
            over[i, j] = max(best[i - 1, j] - 11, over[i - 1, j] - 1)
            under[i, j] = max(best[i, j - 1] - 11, under[i, j - 1] - 1)
            best[i, j] = max(0, best[i - 1, j - 1] + value[left[i - 1], right[j - 1]], over[i, j], under[i, j])
    i, j = end = tuple(int(k) for k in np.unravel_index(best.argmax(), size))
    columns = same = 0
    state = "best"
    while state != "best" or best[i, j] > 0:
        if state == "best":
            if best[i, j] == best[i - 1, j - 1] + value[left[i - 1], right[j - 1]]:
                same += left[i - 1] == right[j - 1]
                columns, i, j = columns + 1, i - 1, j - 1
            else:
                state = "over" if best[i, j] == over[i, j] else "under"
        elif state == "over":
            state = "best" if over[i, j] == best[i - 1, j] - 11 else "over"
            columns, i = columns + 1, i - 1
        else:
            state = "best" if under[i, j] == best[i, j - 1] - 11 else "under"
            columns, j = columns + 1, j - 1
    return same / columns, (end[0] - i) / len(left), (end[1] - j) / len(right)


def test_the_aligner_finds_the_pairs_that_the_textbook_finds(rows):
    chains = [row.query for row in rows[:14]]
    found = Aligner(RULE)(chains[:7], chains[4:], workers=2).related(RULE)
    expected = []
    for i, left in enumerate(chains[:7]):
        for j, right in enumerate(chains[4:]):
            identity, *spans = smith_waterman(left, right)
            if identity >= 0.3 and min(spans) >= 0.8:
                expected.append((i, j))
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected
    assert len(expected) > 10


def test_the_bounds_pass_over_no_pair_that_aligns(rows):
    chains = [row.query for row in rows[::5]] + [row.document for row in rows[::9]]
    for side in ("both", "shorter"):
        rule = Rule(0.30, 0.80, side)
        found = Aligner(rule)(chains, chains, workers=2).related(rule)
        plain = set()
        for i, left in enumerate(chains):
            for j, right in enumerate(chains):
                one = aligned(left, right)
                shares = one.residues[0] / len(left), one.residues[1] / len(right)
                spans = shares if side == "both" else (shares[0] if len(left) <= len(right) else shares[1],)
                if one.identity >= 0.3 and min(spans) >= 0.8:
                    plain.add((i, j))
        ours = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
        same_length = {(i, j) for i, j in ours ^ plain if len(chains[i]) == len(chains[j])}
        assert ours ^ plain == same_length  # of equal lengths either may be called the shorter


@pytest.mark.parametrize("giant", ["whole", "remove"])
def test_no_chain_of_a_split_is_related_to_one_of_another(rows, giant):
    dealt = split(giant=giant)
    found = dealt(rows)
    assert {row.split for row in found} >= {"train", "validation", "test"}
    audit = Chains(identity=0.3, coverage=0.8, coverage_of="both", workers=2, max_shown=3)
    parts = {name: [row for row in found if row.split == name] for name in ("train", "validation", "test")}
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert audit(parts[one], parts[other], str).num_leaks == 0
    assert dealt.dealt.notes["complexes_kept"] == sum(row.split is not None for row in found)


def test_the_audit_counts_and_shows_a_planted_leak(rows):
    audit = Chains(identity=0.3, coverage=0.8, coverage_of="both", workers=1, max_shown=1)
    found = audit(rows[:1], [replace(rows[0], document=rows[-1].document)], str)
    assert found.num_leaks == 1
    assert found.highest == 1.0
    assert found.worst[0].train == found.worst[0].evaluation == rows[0].query


def test_the_fewest_complexes_go_that_part_the_rest():
    families = [[0]] * 10 + [[0, 1]] + [[1]] * 4 + [[0, 2], [0, 2], [0, 2]] + [[2]] * 2
    found = separated(families, [1] * len(families), wanted=4)
    assert found.removed == [10]  # the one bridge to family 1; family 2 has three
    assert found.held == [11, 12, 13, 14]
    assert found.bound <= 1


def test_the_cover_is_the_smallest():
    assert _cover([(0, 10), (0, 11), (1, 12), (2, 12)]) == [0, 12]
    assert _cover([]) == []


def test_rows_that_come_with_a_split_are_refused(rows):
    with pytest.raises(ValueError, match=r"set split .* of the source to null"):
        split()([replace(rows[0], split="test")])


def test_identity_in_percent_is_refused():
    with pytest.raises(ValueError, match=r"identity must be in .*got 30; write 0.30 for 30 percent"):
        split(identity=30)


def test_mmseqs_missing_or_failing_is_told(rows, tmp_path):
    with pytest.raises(ValueError, match="MMseqs2 cannot be run"):
        Mmseqs(**(SEARCH | {"binary": str(tmp_path / "none")}))(["ACD"])
    program = tmp_path / "mmseqs"
    program.write_text("#!/bin/sh\necho out of room >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(ValueError, match=r"ended with status 3, expected 0\. It said: out of room"):
        Mmseqs(**(SEARCH | {"binary": str(program)}))(["ACD"])
