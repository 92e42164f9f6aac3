import random
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np
import parasail
import pytest

from pipeline.corpus.row import Row
from pipeline.protein.audit.shared import Stretches, longest, with_same_letters
from pipeline.protein.split.alignment import aligned
from pipeline.protein.split.rule import Rule
from pipeline.protein.split.stretch import Stretched, same_letters
from tests.protein.relatives import chain, mutant


@pytest.fixture(scope="module")
def chains():
    """Strangers, some of which hold the same run of 12, 31 or 64 residues, and two whose halves are mutants of each other."""
    draw = random.Random(0)
    found = [chain(draw, draw.randint(20, 150)) for _ in range(24)]
    for length, first, second in ((12, 0, 12), (31, 1, 13), (64, 2, 14), (64, 3, 15)):
        run = chain(draw, length)
        found[first], found[second] = run + found[first], found[second][:10] + run + found[second][10:]
    half = chain(draw, 90)
    found[4], found[16] = chain(draw, 120) + half, mutant(draw, half, 0.45) + chain(draw, 130)
    return found


def common(one, other):
    return SequenceMatcher(None, one, other, autojunk=False).find_longest_match().size


def rows_of(chains, group):
    return [
        Row("affinity", f"{group}{i}", one, f"{group}{i}'", one, 7.0, group=f"{group}{i // 2}") for i, one in enumerate(chains)
    ]


@pytest.mark.parametrize("letters", [5, 12, 13, 31, 64, 65])
def test_runs_in_common_are_those_that_a_comparison_pair_by_pair_finds(chains, letters):
    train, held = chains[:12], chains[12:]
    wanted = {one for one in held if any(common(one, other) >= letters for other in train)}
    assert with_same_letters(train, held, letters) == wanted
    tied = {(i, k) for i, one in enumerate(chains) for k in range(i) if common(one, chains[k]) >= letters}
    found = same_letters(chains, letters).tolist()
    assert {tuple(sorted(pair, reverse=True)) for pair in found} <= tied
    assert {k for pair in found for k in pair} == {k for pair in tied for k in pair}


@pytest.mark.parametrize("train", ["WCHMYAAA", "AAWCHMYA", "AAAWCHMY", "WCHMY"])
@pytest.mark.parametrize("held", ["WCHMYGGG", "GGWCHMYG", "GGGWCHMY", "WCHMY"])
def test_a_run_is_found_at_either_end_of_a_chain_and_within_it(train, held):
    assert with_same_letters([train], [held], 5) == {held}
    assert same_letters([train, held], 5).tolist() == [[0, 1]]
    assert longest([train], [held]) == 5


def test_the_longest_run_is_the_longest_of_all_pairs(chains):
    train, held = chains[:12], chains[12:]
    assert longest(train, held) == max(common(one, other) for one in held for other in train) >= 64
    assert longest(train, [*held, train[5]]) == max(64, len(train[5]))
    assert longest(["ACD"], ["WWW"]) == longest([], held) == longest(train, []) == 0


def counts(chains, **changes):
    values = {"letters": [12, 31], "columns": 50, "identity": 0.3, "score": 60, "forbid": "none", "workers": 1}
    return Stretches(**(values | changes))(rows_of(chains[:12], "t"), rows_of(chains[12:], "h"), chance=True)


@pytest.mark.parametrize("tried", [0, 1])
def test_what_is_aligned_first_changes_no_count(chains, monkeypatch, tried):
    expected = counts(chains, forbid="both")
    monkeypatch.setattr("pipeline.protein.audit.shared.TRIED", tried)
    found = counts(chains, forbid="both")
    assert found.leaks == expected.leaks
    assert found.counts["alignments"]["rows"] == expected.counts["alignments"]["rows"] > 0


def test_rows_and_groups_that_share_a_stretch_are_counted(chains):
    found = counts(chains).counts
    assert found["of"] == {"rows": 12, "groups": 6, "chains": 12}
    assert found["residues_in_a_row"]["12"] == {"rows": 4, "groups": 2, "chains": 4}  # of the entries 0 1 2 3
    assert found["residues_in_a_row"]["31"] == {"rows": 3, "groups": 2, "chains": 3}
    assert found["longest"] == max(common(one, other) for one in chains[12:] for other in chains[:12])
    aligned_ = found["alignments"]
    near = {
        one
        for one in chains[12:]
        for other in chains[:12]
        if score(one, other) >= 60 and len(aligned(one, other).lines[0]) >= 50 and aligned(one, other).identity >= 0.3
    }
    assert chains[16] in near  # 55 % of 90 residues, less than 80 % of either
    assert (aligned_["rows"], aligned_["pairs"]) == (len(near), 144)
    assert 0 < aligned_["pairs_aligned"] <= 24  # two that are most alike for each of 12, instead of all 144
    assert aligned_["by_chance"] == {"rows": 0, "groups": 0, "chains": 0}


def test_without_a_bound_on_the_score_chance_alone_gives_such_alignments():
    """Why `score` is part of what a stretch is."""
    draw = random.Random(1)
    train, held = ([chain(draw, 250) for _ in range(num)] for num in (300, 6))
    limits = {"letters": [12], "columns": 50, "identity": 0.3, "forbid": "none", "workers": 1}
    loose, strict = (
        Stretches(score=score, **limits)(rows_of(train, "t"), rows_of(held, "h"), chance=True).counts["alignments"]
        for score in (1, 92)
    )
    assert min(loose["rows"], loose["by_chance"]["rows"]) >= 4
    assert strict["rows"] == strict["by_chance"]["rows"] == 0


def score(one, other):
    return parasail.sw_striped_sat(one, other, 11, 1, parasail.blosum62).score


def test_a_stretch_is_a_leak_where_it_is_forbidden(chains, audit):
    train, held = rows_of(chains[:12], "t"), rows_of(chains[12:], "h")
    limits = {"letters": [31], "columns": 50, "identity": 0.3, "score": 92, "workers": 1}
    allowed, letters, both = (
        audit(stretches=Stretches(forbid=forbid, **limits))(train, held, str) for forbid in ("none", "letters", "both")
    )
    assert allowed.sharing == []
    assert len(letters.sharing) == 3  # entries 1 2 3
    assert len(both.sharing) == 4  # and 4
    assert allowed.stretches == letters.stretches == both.stretches


class Nothing:
    complete = True

    def families(self, chains, rule, *, workers):
        return np.arange(len(chains))

    def version(self):
        return "none"


def test_families_by_stretches_hold_all_that_share_one_and_nothing_else(chains):
    for align, more in ((False, set()), (True, {(16, 4)})):
        search = Stretched(letters=31, columns=50, identity=0.3, score=92, align=align, search=Nothing())
        found = search.families(chains, Rule(0.3, 0.8, "both"), workers=1)
        assert {(i, k) for i in range(24) for k in range(i) if found[i] == found[k]} == {(13, 1), (14, 2), (15, 3)} | more
    assert score(chains[16], chains[4]) >= 92


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"letters": [60, 30]}, "the shortest first"),
        ({"forbid": True}, "none, letters or both"),
        ({"score": 200}, "score must be from 1 to 127, got 200"),
        ({"identity": 30}, "write 0.30 for 30 percent"),
        ({"columns": 0}, "letters and columns must be 1 or more"),
    ],
)
def test_limits_that_cannot_be_are_refused(chains, change, message):
    with pytest.raises(ValueError, match=message):
        counts(chains, **change)


def test_rows_of_other_tasks_share_nothing(chains):
    rows = [replace(row, task="sts") for row in rows_of(chains[:4], "x")]
    found = Stretches(letters=[12], columns=50, identity=0.3, score=92, forbid="both", workers=1)(rows, rows, chance=True)
    assert found.leaks == set()
    assert found.counts["of"] == {"rows": 0, "groups": 0}
