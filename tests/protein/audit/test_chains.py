from dataclasses import replace

import numpy as np
import pytest

from pipeline.protein.audit import chains as audited
from pipeline.protein.audit.chains import every_pair
from pipeline.protein.split import exact
from pipeline.protein.split.alignment import aligned
from pipeline.protein.split.alike import most_alike
from pipeline.protein.split.exact import Exact
from pipeline.protein.split.rule import Rule

RULE = Rule(0.30, 0.80, "both")


def related(left, right):
    pair = aligned(left, right)
    return pair.identity >= 0.3 and RULE.spans(pair.residues, len(left), len(right))


def test_reached_chains_are_those_with_a_related_one(rows, audit):
    train, held = rows[::3], rows[1::3]
    found = audit().reached(train, held, str)
    known = [chain for row in train for chain in (row.query, row.document)]
    near = {one for row in held for one in (row.query, row.document) if any(related(one, other) for other in known)}
    assert found.near == {"chains": len(near)}
    assert found.texts == {"chains": 2 * len(held)}
    assert 0 < len(near) < 2 * len(held)
    assert found.near_rows == [row.query in near or row.document in near for row in held]
    assert not any(audit().reached(rows[:8], rows[8:16], str).near_rows)


def test_the_audit_counts_and_shows_a_planted_leak(rows, audit):
    found = audit(max_shown=1)(rows[:1], [replace(rows[0], document=rows[-1].document)], str)
    assert found.num_leaks == 1
    assert found.highest == 1.0
    assert found.worst[0].train == found.worst[0].evaluation == rows[0].query


def test_what_is_compared_is_called_what_it_is(rows, audit):
    """A joined side is no chain; one that is marked somewhere else is."""
    joined = [replace(row, strata="chains=joined") for row in rows[:12]]
    marked = [replace(row, query=f"{row.query}:{row.document}", strata="chains=marked") for row in rows[12:16]]
    assert audit()(joined[:8], joined[8:], str).things == "sides"
    assert audit()(joined[:8], joined[8:], str).looked["compared"] == {"sides": 8}
    assert audit()(marked[:2], marked[2:], str).things == "chains"
    mixed = audit().reached(joined, [*marked, joined[0], replace(joined[1], document=marked[0].document)], str)
    assert mixed.texts == {"chains": 8, "sides": 3}


def planted(pairs):
    """Passes over ``pairs`` of sequences, either way round, and over nothing else."""

    def screen(true):
        def faulty(left, right, rule, *, workers):
            found = true(left, right, rule, workers=workers)
            return found[[(left[i], right[j]) not in pairs and (right[j], left[i]) not in pairs for i, j in found.tolist()]]

        return faulty

    return screen


@pytest.fixture
def fault(rows, monkeypatch):
    """Ten pairs of one family that the screen passes over, in the split as in the audit."""
    family = [row.query for row in rows[:5]]
    pairs = {(one, other) for one in family for other in family if one < other}
    assert len(pairs) == 10
    assert all(related(*pair) for pair in pairs)
    monkeypatch.setattr(audited, "may_span", planted(pairs)(audited.may_span))
    true = exact.may_span_within

    def within(chains, rule, *, workers):
        for found in true(chains, rule, workers=workers):
            kept = [(chains[i], chains[j]) not in pairs and (chains[j], chains[i]) not in pairs for i, j in found.tolist()]
            yield found[kept]

    monkeypatch.setattr(exact, "may_span_within", within)
    return rows[:5] + rows[8:]  # the rest of that family would tie it together


@pytest.fixture
def parts(fault):
    """Train and test that the faulty split would make: it takes the five for strangers."""
    chains = [row.query for row in fault]
    assert len(set(Exact().families(chains, RULE, workers=1)[:5].tolist())) == 5
    return {"train": fault[:3] + fault[5:85], "test": fault[3:5] + fault[85:]}


class Missing:
    """A search whose program is not there."""

    def is_there(self):
        return False


def test_the_most_alike_pairs_show_a_faulty_screen(parts, audit):
    with pytest.raises(RuntimeError, match="screen passed over a related pair"):
        audit(sample=200, search=Missing())(parts["train"], parts["test"], str)


def test_mmseqs2_shows_a_faulty_screen(parts, audit):
    with pytest.raises(RuntimeError, match="screen passed over a related pair"):
        audit(sample=0)(parts["train"], parts["test"], str)
    assert audit(sample=0, search=Missing())(parts["train"], parts["test"], str).num_leaks == 0  # nothing else looks


def test_a_random_sample_is_drawn_beside(monkeypatch, rows, mmseqs):
    chains = [row.query for row in rows[:40]]
    monkeypatch.setattr(audited, "may_span", lambda *_, **__: np.zeros((0, 2), np.int64))
    monkeypatch.setattr(audited, "most_alike", lambda *_: np.zeros((0, 2), np.int64))
    with pytest.raises(RuntimeError, match="screen passed over a related pair"):
        every_pair(chains, chains, RULE, sample=4000, search=Missing(), workers=1)


def test_where_mmseqs2_is_missing_the_audit_says_so(rows, audit):
    looked = audit(search=Missing())(rows[:8], rows[8:16], str).looked
    assert looked["pairs_found_by_mmseqs2"] == "MMseqs2 was not run: it is missing"
    assert "pairs_passed_over_found_by_mmseqs2" not in looked
    here = audit()(rows[:8], rows[8:16], str).looked
    assert here["pairs"] == 16 * 16
    assert here["pairs_passed_over_most_alike"] == 50
    assert isinstance(here["pairs_found_by_mmseqs2"], int)


def test_the_most_alike_pairs_share_most_rare_runs(rows):
    held, train = [row.query for row in rows[::8]], [row.query for row in rows[1::8]]
    assert [i == j for i, j in most_alike(held, train, np.zeros((0, 2), np.int64), 10).tolist()].count(True) >= 9
    but = np.array([[0, 0], [3, 3]])
    assert not {(0, 0), (3, 3)} & {tuple(pair) for pair in most_alike(held, train, but, 50).tolist()}

    def cosine(one, other):
        runs = [{text[i : i + 3] for i in range(len(text) - 2)} for text in (one, other)]
        every = [{text[i : i + 3] for i in range(len(text) - 2)} for text in [*held, *train]]
        rare = {run: np.log(len(every) / sum(run in one for one in every)) + 1 for run in runs[0] | runs[1]}
        norms = [np.sqrt(sum(rare[run] ** 2 for run in of)) for of in runs]
        return sum(rare[run] ** 2 for run in runs[0] & runs[1]) / norms[0] / norms[1]

    likeness = sorted(((cosine(one, other), i, j) for i, one in enumerate(held) for j, other in enumerate(train)), reverse=True)
    found = most_alike(held, train, np.zeros((0, 2), np.int64), 25).tolist()
    assert {tuple(pair) for pair in found} == {(i, j) for _, i, j in likeness[:25]}
    assert most_alike([], train, np.zeros((0, 2), np.int64), 5).shape == (0, 2)
