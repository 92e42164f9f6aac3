import os
import random
from dataclasses import replace

import numba
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.row import Row
from pipeline.protein.audit.chains import every_pair
from pipeline.protein.split.alignment import Aligner, aligned
from pipeline.protein.split.exact import Exact
from pipeline.protein.split.identity import ACROSS, Identity, _cover, _put_back
from pipeline.protein.split.mmseqs import Mmseqs
from pipeline.protein.split.rule import Rule
from pipeline.protein.split.separator import separated
from tests.protein.relatives import LETTERS, chain, mutant

RULE = Rule(0.30, 0.80, "both")
SEARCH = {"sensitivity": 7.5, "identity": 0.25, "evalue": 10.0, "collapse": 0.5, "threads": 1, "binary": None}


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


def test_exact_families_are_those_that_every_related_pair_ties_together(rows, mmseqs):
    """Also where two families are tied by one pair of many that span."""
    chains = sorted({chain for row in rows for chain in (row.query, row.document)})
    tied = every_pair(chains, chains, RULE, sample=0, search=mmseqs(), workers=1)
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
def test_an_exhaustive_textbook_search_finds_no_relative_of_simulated_families(audit):
    """Of `TRIBUTARY_CHAINS` chains, 1,000 unless it says otherwise."""
    parts = parted(split()(families(int(os.environ.get("TRIBUTARY_CHAINS", 1000)))))
    for one, other in ACROSS:
        assert audit()(parts[other], parts[one], str).num_leaks == 0
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


@pytest.mark.parametrize("side", ["both", "shorter"])
def test_the_audit_finds_the_pairs_that_the_textbook_finds(rows, side, mmseqs):
    """Chains cut at either end too, so that some are alike over enough of one chain alone."""
    chains = [row.query for row in rows[:9]] + [rows[0].query[:70], rows[1].query[40:], rows[3].document]
    held, train = chains[:7], chains[4:]
    found = every_pair(held, train, Rule(0.3, 0.8, side), sample=50, search=mmseqs(), workers=1)
    related = found.identity >= 0.3
    wanted, tied = set(), set()
    for i, left in enumerate(held):
        for j, right in enumerate(train):
            identity, *spans = smith_waterman(left, right)
            enough = min(spans) if side == "both" else spans[0] if len(left) < len(right) else spans[1]
            if identity >= 0.3 and enough >= 0.8:
                wanted.add((i, j))
            if len(left) == len(right):  # either may be called the shorter
                tied.add((i, j))
    ours = set(zip(found.held[related].tolist(), found.train[related].tolist(), strict=True))
    assert ours - tied == wanted - tied
    assert len(wanted) > 12


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
def test_no_chain_of_a_split_is_related_to_one_of_another(rows, changes, audit):
    dealt = split(**changes)
    found = dealt(rows)
    assert {row.split for row in found} >= {"train", "validation", "test"}
    parts = {name: [row for row in found if row.split == name] for name in ("train", "validation", "test")}
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert audit(workers=2)(parts[one], parts[other], str).num_leaks == 0
    assert dealt.dealt.notes["complexes_kept"] == sum(row.split is not None for row in found)


def test_letters_count_alike_in_either_case(rows):
    one, other = rows[0].query, rows[1].query
    assert aligned(one.lower(), other) == aligned(one, other.lower()) == aligned(one, other)
    assert aligned(one.lower(), one).identity == 1.0


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
