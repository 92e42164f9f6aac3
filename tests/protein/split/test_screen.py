import random
import string

import numpy as np
import parasail
import pytest

from pipeline.protein.split.alignment import aligned
from pipeline.protein.split.rule import Rule
from pipeline.protein.split.screen import LANES, may_score, may_score_within, may_span, may_span_among
from tests.protein.relatives import chain

SIDES = ("both", "shorter")


def mutant(draw, parent, share):
    """Replaced, lost and added residues, a third each."""
    changes = {
        "replaced": lambda r: chain(draw, 1),
        "lost": lambda r: "",
        "added": lambda r: r + chain(draw, draw.randint(1, 9)),
    }
    return "".join(changes[draw.choice([*changes])](r) if draw.random() < share else r for r in parent)


@pytest.fixture(scope="module")
def chains():
    """Relatives near and far, strangers of 1 to 300 residues, letters that are no residues, and more than one block of them."""
    draw = random.Random(0)
    parents = [chain(draw, draw.randint(40, 220)) for _ in range(6)]
    found = [mutant(draw, parent, draw.uniform(0.1, 0.7)) for parent in parents for _ in range(10)]
    found += [chain(draw, length) for length in (1, 2, 3, 7, 40, 41, 300) for _ in range(2)]
    found += [chain(draw, 90, string.ascii_letters + "*"), "W" * 80, "W" * 21, found[0][: len(found[0]) // 2]]
    assert len(found) > LANES
    return [one for one in found if one]


def spans(left, right, rule):
    return rule.spans(aligned(left, right).residues, len(left), len(right))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("coverage", [0.5, 0.8, 1.0])
def test_no_pair_that_spans_enough_is_passed_over(chains, side, coverage):
    rule = Rule(0.3, coverage, side)
    left = chains[::3]
    kept = set(map(tuple, may_span(left, chains, rule, workers=2).tolist()))
    wanted = {(i, j) for i, one in enumerate(left) for j, other in enumerate(chains) if spans(one, other, rule)}
    related = {(i, j) for i, j in wanted if aligned(left[i], chains[j]).identity >= 0.3}
    assert related <= kept
    near = {(i, j) for i, j in wanted if min(lengths := (len(left[i]), len(chains[j]))) >= rule.least_ratio * max(lengths)}
    assert near <= kept  # lengths alone rule out the rest
    assert len(related) > 20
    assert len(kept) < 0.6 * len(left) * len(chains)


@pytest.mark.parametrize("side", SIDES)
def test_few_strangers_are_kept(side):
    draw = random.Random(1)
    strangers = [chain(draw, draw.randint(60, 200)) for _ in range(200)]
    kept = may_span(strangers[:100], strangers[100:], Rule(0.3, 0.8, side), workers=1)
    assert len(kept) < {"both": 0.01, "shorter": 0.05}[side] * 100 * 100


def test_kept_pairs_end_and_begin_where_parasail_says(chains):
    """Of pairs with one best alignment; what two of them end at, the screen may keep by the other."""
    rule = Rule(0.01, 0.8, "both")
    kept = set(map(tuple, may_span(chains, chains, rule, workers=1).tolist()))
    compared = 0
    for i, one in enumerate(chains):
        for j, other in enumerate(chains):
            table = parasail.sw_table_striped_sat(one, other, 11, 1, parasail.blosum62)
            back = parasail.sw_table_striped_sat(one[::-1], other[::-1], 11, 1, parasail.blosum62)
            if table.score < 127 and all((t.score_table == t.score).sum() == 1 for t in (table, back)):
                late = all(rule.spans((t.end_query + 1, t.end_ref + 1), len(one), len(other)) for t in (table, back))
                possible = min(len(one), len(other)) >= rule.least_ratio * max(len(one), len(other))
                assert ((i, j) in kept) == (late and possible), (one, other)
                compared += 1
    assert compared > 1000


def test_a_score_too_high_for_a_byte_keeps_its_pair():
    draw = random.Random(2)
    core = chain(draw, 100)
    left, right = core + chain(draw, 400), chain(draw, 400) + core  # alike over a fifth of each
    assert not spans(left, right, Rule(0.3, 0.8, "both"))
    assert may_span([left], [right], Rule(0.3, 0.8, "both"), workers=1).tolist() == [[0, 0]]
    assert may_span([left[80:]], [right[:-80]], Rule(0.3, 0.8, "both"), workers=1).tolist() == []


@pytest.mark.parametrize("side", SIDES)
def test_chosen_pairs_are_judged_as_among_all(chains, side):
    rule = Rule(0.3, 0.8, side)
    every = set(map(tuple, may_span(chains, chains, rule, workers=1).tolist()))
    chosen = np.argwhere(np.random.default_rng(0).random((len(chains), len(chains))) < 0.3)
    found = may_span_among(chains, chains, chosen, rule, workers=2).tolist()
    assert found == sorted([i, j] for i, j in chosen.tolist() if (i, j) in every)


def test_nothing_in_is_nothing_out():
    rule = Rule(0.3, 0.8, "both")
    assert may_span([], ["ACD"], rule, workers=1).shape == may_span(["ACD"], [], rule, workers=1).shape == (0, 2)
    assert may_span_among(["ACD"], ["ACD"], np.zeros((0, 2), np.int64), rule, workers=1).shape == (0, 2)


@pytest.mark.parametrize("least", [1, 30, 92, 127])
def test_pairs_that_score_enough_are_those_that_parasail_scores_so(chains, least):
    left = chains[::2]
    wanted = [
        [i, j]
        for i, one in enumerate(left)
        for j, other in enumerate(chains)
        if parasail.sw_striped_sat(one, other, 11, 1, parasail.blosum62).score >= least
    ]
    assert may_score(left, chains, least, workers=2).tolist() == wanted
    assert len(wanted) > len(left)
    within = {tuple(sorted(pair)) for pairs in may_score_within(left, least, workers=1) for pair in pairs.tolist()}
    assert within == {(i, j // 2) for i, j in wanted if j % 2 == 0 and i < j // 2}


def test_a_score_beyond_a_byte_is_refused():
    with pytest.raises(ValueError, match="from 1 to 127"):
        may_score(["ACD"], ["ACD"], 128, workers=1)
