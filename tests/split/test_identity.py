import os
import random
from dataclasses import replace

import numba
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.row import Row
from pipeline.split.alignment import Aligner, aligned
from pipeline.split.chains import Chains, every_pair
from pipeline.split.exact import Exact
from pipeline.split.identity import ACROSS, Identity, _cover, _put_back
from pipeline.split.mmseqs import Mmseqs
from pipeline.split.rule import Rule
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
    same, columns, first, last = textbook(coded(left), coded(right), VALUES)
    return same / columns, (last[0] - first[0]) / len(left), (last[1] - first[1]) / len(right)


def coded(text):
    return np.array([LETTERS.index(residue) for residue in text])


def values():
    import parasail  # for the numbers of BLOSUM62 alone

    matrix, order = parasail.blosum62.matrix, "ARNDCQEGHILKMFPSTWYVBZX*"
    return np.array([[int(matrix[order.index(a)][order.index(b)]) for b in LETTERS] for a in LETTERS])


VALUES = values()


@numba.njit
def textbook(left, right, value):
    size = (len(left) + 1, len(right) + 1)
    best, over, under = np.zeros(size, np.int32), np.full(size, -(10**6), np.int32), np.full(size, -(10**6), np.int32)
    end, highest = (0, 0), 0
    for i in range(1, size[0]):
        for j in range(1, size[1]):
            over[i, j] = max(best[i - 1, j] - 11, over[i - 1, j] - 1)
            under[i, j] = max(best[i, j - 1] - 11, under[i, j - 1] - 1)
            best[i, j] = max(0, best[i - 1, j - 1] + value[left[i - 1], right[j - 1]], over[i, j], under[i, j])
            if best[i, j] > highest:
                end, highest = (i, j), best[i, j]
    i, j = end
    same, columns, state = 0, 0, 0
    while state != 0 or best[i, j] > 0:
        if state == 0:
            if best[i, j] == best[i - 1, j - 1] + value[left[i - 1], right[j - 1]]:
                same += left[i - 1] == right[j - 1]
                columns, i, j = columns + 1, i - 1, j - 1
            else:
                state = 1 if best[i, j] == over[i, j] else 2
        elif state == 1:
            state = 0 if over[i, j] == best[i - 1, j] - 11 else 1
            columns, i = columns + 1, i - 1
        else:
            state = 0 if under[i, j] == best[i, j - 1] - 11 else 2
            columns, j = columns + 1, j - 1
    return same, columns, (i, j), end


@numba.njit(nogil=True)
def end_of(left, right, value):
    """Where the best alignment of `textbook` ends, by the same recursion with one row in memory."""
    best, over = np.zeros(len(right) + 1, np.int32), np.full(len(right) + 1, -(10**6), np.int32)
    end, highest = (0, 0), 0
    for i in range(1, len(left) + 1):
        of_residue = value[left[i - 1]]
        diagonal, under, before = 0, -(10**6), 0  # before: best[i, j - 1]
        for j in range(1, len(right) + 1):
            over[j] = max(best[j] - 11, over[j] - 1)
            under = max(before - 11, under - 1)
            here = max(0, diagonal + of_residue[right[j - 1]], over[j], under)
            diagonal, best[j], before = best[j], here, here
            if here > highest:
                end, highest = (i, j), here
    return end


@numba.njit(nogil=True)
def related_pairs(left, left_ends, right, right_ends, value):
    """How many pairs of chains (all in one array each, cut at their ends) are related by the textbook. Every pair is searched; traced
    are those whose best alignment ends late enough to span 80 % of both."""
    num = 0
    for a in range(len(left_ends) - 1):
        for b in range(len(right_ends) - 1):
            one, other = left[left_ends[a] : left_ends[a + 1]], right[right_ends[b] : right_ends[b + 1]]
            end = end_of(one, other, value)
            if end[0] >= 0.8 * len(one) and end[1] >= 0.8 * len(other):
                same, columns, first, last = textbook(one, other, value)
                wide = last[0] - first[0] >= 0.8 * len(one) and last[1] - first[1] >= 0.8 * len(other)
                num += wide and same >= 0.3 * columns
    return num


def exhaustive(left, right):
    sides = []
    for rows in (left, right):
        chains = sorted({chain for row in rows for chain in (row.query, row.document)})
        sides += [np.concatenate([coded(chain) for chain in chains]), np.cumsum([0, *map(len, chains)])]
    return related_pairs(*sides, VALUES)


def families(num_chains):
    """As `benchmarks/identity.py` makes them: 1 to 20 chains a family, 30 to 90 % of the ancestor's residues kept."""
    draw, found = random.Random(0), []
    while len(found) < num_chains:
        parent = chain(draw, draw.randint(60, 400))
        found += [mutant(draw, parent, draw.uniform(0.1, 0.7)) for _ in range(draw.randint(1, 20))]
    return [Row("affinity", f"c{i}", one, f"c{i}", one, 7.0, group=str(i)) for i, one in enumerate(found[:num_chains])]


def test_an_exhaustive_textbook_search_finds_no_relative_across_the_splits(rows):
    for changes in ({"giant": "whole"}, {"giant": "remove"}, {"search": Exact()}):
        parts = parted(split(**changes)(rows))
        for one, other in ACROSS:
            assert exhaustive(parts[one], parts[other]) == 0
    family = [row.query for row in rows[:8]]
    assert exhaustive(rows[:8], rows[:8]) == len(Aligner(RULE)(family, family, workers=1).related(RULE).left) + 8  # receptors


def test_exact_families_are_those_that_every_related_pair_ties_together(rows):
    """Also where two families are tied by one pair of many that span."""
    chains = sorted({chain for row in rows for chain in (row.query, row.document)})
    tied = every_pair(chains, chains, RULE, sample=0, workers=1)
    related = tied.identity >= 0.3
    edges = coo_array((np.ones(related.sum()), (tied.held[related], tied.train[related])), shape=(len(chains),) * 2)
    wanted = connected_components(edges, directed=False)[1]
    found = Exact().families(chains, RULE, workers=2)
    assert len(set(zip(found.tolist(), wanted.tolist(), strict=True))) == len(set(found.tolist())) == wanted.max() + 1
    assert 20 < len(set(found.tolist())) < len(chains)


def test_an_exact_split_has_nothing_to_mend_and_the_shares_that_are_wanted(rows):
    dealt = split(search=Exact())
    dealt(rows)
    assert dealt.dealt.notes["complexes_mended"] == 0
    assert dealt.dealt.got["test"] == pytest.approx(0.1, abs=0.03)


@pytest.mark.slow
def test_an_exhaustive_textbook_search_finds_no_relative_of_simulated_families():
    """Of `TRIBUTARY_CHAINS` chains, 1,000 unless it says otherwise."""
    parts = parted(split()(families(int(os.environ.get("TRIBUTARY_CHAINS", 1000)))))
    audit = Chains(identity=0.3, coverage=0.8, coverage_of="both", sample=100, workers=1, max_shown=0)
    for one, other in ACROSS:
        assert audit(parts[other], parts[one], str).num_leaks == 0
        assert exhaustive(parts[one], parts[other]) == 0


def parted(found):
    return {name: [row for row in found if row.split == name] for name in ("train", "validation", "test")}


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


@pytest.mark.parametrize("changes", [{"giant": "whole"}, {"giant": "remove"}, {"search": Exact()}])
def test_no_chain_of_a_split_is_related_to_one_of_another(rows, changes):
    dealt = split(**changes)
    found = dealt(rows)
    assert {row.split for row in found} >= {"train", "validation", "test"}
    audit = Chains(identity=0.3, coverage=0.8, coverage_of="both", sample=100, workers=2, max_shown=3)
    parts = {name: [row for row in found if row.split == name] for name in ("train", "validation", "test")}
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert audit(parts[one], parts[other], str).num_leaks == 0
    assert dealt.dealt.notes["complexes_kept"] == sum(row.split is not None for row in found)


def test_the_audit_and_the_aligner_of_the_split_agree_and_share_nothing(rows):
    chains = [row.query for row in rows[:60]]
    for side in ("both", "shorter"):
        rule = Rule(0.30, 0.80, side)
        ours, theirs = (
            every_pair(chains[:20], chains[10:], rule, sample=50, workers=1),
            Aligner(rule)(chains[:20], chains[10:], workers=1),
        )
        assert ours.held.tolist() == theirs.left.tolist()
        assert ours.train.tolist() == theirs.right.tolist()
        assert ours.identity.tolist() == theirs.identity.tolist()
        assert len(ours.held) > 20  # 10 chains stand on both sides, and families of eight on each: not an empty comparison


def test_reached_chains_are_those_with_a_related_one(rows):
    audit = Chains(identity=0.3, coverage=0.8, coverage_of="both", sample=100, workers=1, max_shown=1)
    train, held = rows[::3], rows[1::3]
    found = audit.reached(train, held, str)
    pairs = every_pair(sorted({c for r in held for c in (r.query, r.document)}), [c for r in train for c in (r.query, r.document)],
                     audit.rule, sample=0, workers=1)  # fmt: skip
    assert found.num_near == len(set(pairs.held[pairs.identity >= 0.3].tolist()))
    assert 0 < found.num_near < found.num_texts == 2 * len(held)
    chains = sorted({chain for row in held for chain in (row.query, row.document)})
    near = {chains[k] for k in pairs.held[pairs.identity >= 0.3].tolist()}
    assert found.near_rows == [row.query in near or row.document in near for row in held]
    assert not any(audit.reached(rows[:8], rows[8:16], str).near_rows)


def test_the_audit_counts_and_shows_a_planted_leak(rows):
    audit = Chains(identity=0.3, coverage=0.8, coverage_of="both", sample=100, workers=1, max_shown=1)
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


def test_what_was_removed_for_nothing_comes_back():
    families = [[0], [0, 1], [1], [1, 2], [2], [3]]
    splits = ["train", None, "train", None, "test", None]  # what 1 freed went to train after all; 3 still parts train from test
    assert _put_back(families, splits) == 2
    assert splits == ["train", "train", "train", None, "test", "train"]


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
