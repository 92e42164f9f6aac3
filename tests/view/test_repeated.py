"""Tokens that stand twice: how many, which, and on which side."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from pipeline.view.repeated import Repeated
from pipeline.view.twice import Twice

IDS = [101, *range(20), 102]  # 22 tokens


def once(repeated):
    """Without the second of two equal neighbours."""
    return [repeated[0], *(b for a, b in pairwise(repeated) if a != b)]


def test_zero_to_one_below_the_bound_are_repeated_each_number_alike():
    view = Repeated(rate=0.32, most=10, alike=False)
    found = [view.ids(IDS, "document", random.Random(i), 99) for i in range(7000)]
    assert all(once(ids) == IDS for ids in found)
    counts = Counter(len(ids) - len(IDS) for ids in found)
    assert sorted(counts) == list(range(7))  # int(.32 * 22) = 7 numbers
    assert all(abs(count - 1000) < 5 * (7000 * 1 / 7 * 6 / 7) ** 0.5 for count in counts.values())  # five deviations
    twice = Counter(token for ids in found for token, count in Counter(ids).items() if count == 2)
    assert set(twice) == set(range(20))  # never the first or the last
    few = [Repeated(rate=1.0, most=3, alike=False).ids(IDS, "document", random.Random(i), 99) for i in range(50)]
    assert {len(ids) - len(IDS) for ids in few} == {0, 1, 2}


def test_tokens_of_a_prompt_that_is_not_pooled_stand_once():
    view = Repeated(rate=1.0, most=50, alike=False)
    ids = [~101, ~7, ~8, 5, 102]
    assert {tuple(view.ids(ids, "document", random.Random(i), 99)) for i in range(50)} == {
        tuple(ids),
        (~101, ~7, ~8, 5, 5, 102),
    }


def test_a_query_and_rate_zero_are_the_view_twice():
    draw = random.Random(0)
    assert Repeated(rate=0.9, most=10, alike=False).ids(IDS, "query", draw, 99) == IDS
    for side in ("query", "document"):
        assert Repeated(rate=0.0, most=10, alike=False).ids(IDS, side, draw, 99) == IDS == Twice().ids(IDS, side, draw, 99)
    assert Repeated(rate=0.3, most=10, alike=False).ids([1, 5, 2], "document", draw, 99) == [1, 5, 2]  # int(.9) tokens


def test_what_is_too_long_loses_its_end_but_for_the_last_token():
    view = Repeated(rate=1.0, most=10, alike=False)
    for i in range(20):
        whole, cut = (view.ids(IDS, "document", random.Random(i), limit) for limit in (99, 22))
        assert cut == (whole if len(whole) <= 22 else [*whole[:21], 102])


def test_in_the_control_both_sides_repeat_the_same_tokens():
    view = Repeated(rate=0.5, most=10, alike=True)
    texts = [[101, *range(i, i + 20), 102] for i in range(20)]
    query, document = ([view.ids(ids, side, random.Random(side), 99) for ids in texts] for side in ("query", "document"))
    assert query == document
    assert len({len(ids) for ids in query}) > 3


def test_it_needs_dropout_as_a_text_may_stand_beside_itself():
    assert (Repeated.varies, Repeated.needs_dropout) == (True, True)


def test_one_below_zero_is_refused():
    from pipeline.build import build

    with pytest.raises(ValueError, match=r"repeated.*rate"):
        build({"_target_": "pipeline.view.repeated.Repeated", "rate": -0.1, "most": 10, "alike": False})
