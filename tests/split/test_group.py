import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.row import Row
from pipeline.split.group import Group, unit_keys

THIRDS = {"validation": 0.3, "test": 0.3, "largest": 1.0, "seed": 0}  # large shares, so that a leak would show


def pair(query, document, group=None, task="retrieval", split=None):
    return Row(task, str(query), f"query {query}", str(document), f"document {document}", None, split, group)


def dealt(rows, **changes):
    return list(Group(**THIRDS | changes)(rows))


def share(rows, split):
    return sum(row.split == split for row in rows) / len(rows)


def straddling(rows, key):
    """Names that stand in more than one split."""
    splits = {}
    for row in rows:
        splits.setdefault(key(row), set()).add(row.split)
    return [name for name, found in splits.items() if len(found) > 1]


def connected(rows):
    """For each row the set of rows it is tied to, by spreading out from it again and again."""
    found = []
    for start in rows:
        unit, grown = {id(start)}, True
        while grown:
            grown = False
            for row in rows:
                near = (r for r in rows if id(r) in unit)
                if id(row) not in unit and any(row.query_id == r.query_id or row.document_id == r.document_id for r in near):
                    unit.add(id(row))
                    grown = True
        found.append(frozenset(unit))
    return found


pairs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=25)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(pairs, st.integers(0, 5))
def test_rows_tied_by_a_query_or_a_document_never_straddle_however_long_the_chain(ids, seed):
    rows = dealt([pair(query, document) for query, document in ids], seed=seed)
    split_of = {id(row): row.split for row in rows}
    for unit in connected(rows):
        assert len({split_of[one] for one in unit}) == 1


@settings(derandomize=True, deadline=None, max_examples=40)
@given(pairs)
def test_units_are_the_connected_rows(ids):
    rows = [pair(query, document) for query, document in ids]
    units = connected(rows)
    keys = unit_keys(rows)
    for i in range(len(rows)):
        for j in range(len(rows)):
            assert (keys[i] == keys[j]) == (units[i] == units[j])


def test_a_chain_of_three_is_one_unit():
    chain = [pair("a", 1), pair("b", 1), pair("b", 2), pair("c", 2)]
    assert len(set(unit_keys([*chain, pair("d", 3)]))) == 2


def test_an_id_that_is_both_a_query_and_a_document_ties_nothing():
    assert len(set(unit_keys([pair("x", "a"), pair("b", "x")]))) == 2


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_a_group_never_straddle(seed):
    draw = random.Random(seed)
    rows = dealt([pair(i, draw.randrange(40), f"g{draw.randrange(60)}") for i in range(400)], seed=seed)
    assert straddling(rows, lambda row: row.group) == []
    assert len({row.split for row in rows}) == 3


def test_a_negative_that_many_queries_share_ties_none_of_them():
    def row(query, document, score=None, task="retrieval"):
        return Row(task, query, f"text {query}", document, f"text {document}", score)

    shared = [row("a", "x"), row("a", "no", 0.0), row("b", "y"), row("b", "no", 0.0)]
    first, *rest = unit_keys(shared)
    assert rest == [first, rest[1], rest[1]]
    assert first != rest[1]
    assert len(set(unit_keys([row("a", "no", 0.0, "pair_classification"), row("b", "no", 0.0, "pair_classification")]))) == 1


def test_a_group_ties_and_shared_texts_between_groups_do_not():
    rows = [pair(1, "shared", "a"), pair(2, "shared", "b"), pair(3, 3, "a")]
    keys = unit_keys(rows)
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize("seed", range(4))
def test_shares_are_met_within_three_points_on_many_small_groups(seed):
    draw = random.Random(seed)
    rows = [pair(i, i, f"g{draw.randrange(400)}", draw.choice(["retrieval", "sts"])) for i in range(2000)]
    found = dealt(rows, validation=0.06, test=0.10, seed=seed)
    for task in ("retrieval", "sts"):
        of_task = [row for row in found if row.task == task]
        assert share(of_task, "validation") == pytest.approx(0.06, abs=0.03)
        assert share(of_task, "test") == pytest.approx(0.10, abs=0.03)
        assert share(of_task, "train") == pytest.approx(0.84, abs=0.03)


def test_shares_are_limits_that_no_task_exceeds():
    draw = random.Random(0)
    rows = [pair(i, i, f"g{draw.randrange(30)}", draw.choice(["retrieval", "sts"])) for i in range(500)]
    found = dealt(rows, validation=0.2, test=0.1)
    for task in ("retrieval", "sts"):
        of_task = [row for row in found if row.task == task]
        assert 0 < share(of_task, "validation") <= 0.2
        assert 0 < share(of_task, "test") <= 0.1


def test_one_group_of_40_percent_leaves_the_shares_within_two_points():
    split = Group(validation=0.06, test=0.1, largest=1.0, seed=0)
    found = split([pair(i, i, "giant" if i < 400 else f"g{i // 3}") for i in range(1000)])
    shares = {name: sum(row.split == name for row in found) / 1000 for name in ("train", "validation", "test")}
    assert shares == pytest.approx({"train": 0.84, "validation": 0.06, "test": 0.1}, abs=0.02)
    assert split.dealt.got == shares
    assert split.dealt.report() is None


def test_a_group_that_leaves_too_few_rows_for_the_other_splits_is_reported():
    split = Group(validation=0.06, test=0.1, largest=1.0, seed=0)
    split([pair(i, i, "giant" if i < 950 else f"g{i // 3}") for i in range(1000)])
    assert "train 0.953 (wanted 0.840), validation 0.018" in split.dealt.report()
    assert "the largest of 950 rows, 1 with room in no split (rows: [950]), put into train whole" in split.dealt.report()


def test_a_group_larger_than_every_share_goes_to_train_whole():
    rows = dealt([pair(i, i, "large") for i in range(90)] + [pair(i, i) for i in range(100, 200)])
    assert {row.split for row in rows if row.group} == {"train"}


def test_the_order_of_the_rows_makes_no_difference():
    rows = [pair(i, i % 37, f"g{i % 23}" if i % 2 else None, ("retrieval", "sts", "weak")[i % 3]) for i in range(200)]
    expected = {replace(row, split=None): row.split for row in dealt(rows)}
    shuffled = random.Random(1).sample(rows, len(rows))
    found = dealt(shuffled)
    assert [replace(row, split=None) for row in found] == shuffled
    assert {replace(row, split=None): row.split for row in found} == expected


def test_the_seed_draws_the_groups():
    rows = [pair(i, i) for i in range(100)]
    assert dealt(rows, seed=1) == dealt(rows, seed=1)
    assert dealt(rows, seed=1) != dealt(rows, seed=2)


# --- weak rows


def test_weak_rows_follow_their_group_and_are_not_counted():
    rows = [pair(i, i, f"g{i}") for i in range(100)] + [pair(f"w{i}", i, f"g{i // 10}", "weak") for i in range(1000)]
    found = dealt(rows, validation=0.1, test=0.2)
    assert straddling(found, lambda row: row.group) == []
    counts = Counter(row.split for row in found if row.task == "retrieval")
    assert counts == {"train": 70, "validation": 10, "test": 20}


def test_weak_rows_alone_go_to_train_where_they_teach():
    rows = [pair(i, i) for i in range(50)] + [pair(f"w{i}", f"w{i}", task="weak") for i in range(50)]
    assert {row.split for row in dealt(rows) if row.task == "weak"} == {"train"}
    assert {row.split for row in dealt(rows[50:])} == {"train"}


# --- splits that the source fixed


def test_given_splits_are_kept():
    rows = [pair(i, i, split=("train", "validation", "test")[i % 3]) for i in range(60)]
    assert dealt(rows) == rows


def test_a_source_with_train_and_test_gets_validation_out_of_train_only():
    rows = [pair(i, i, split="test" if i < 40 else "train") for i in range(140)]
    found = dealt(rows, validation=0.1, test=0.5)
    assert found[:40] == rows[:40]
    assert Counter(row.split for row in found[40:]) == {"train": 90, "validation": 10}


def test_a_source_with_train_alone_gets_validation_and_no_test():
    found = dealt([pair(i, i, split="train") for i in range(100)], validation=0.1, test=0.5)
    assert Counter(row.split for row in found) == {"train": 90, "validation": 10}


def test_validation_out_of_train_takes_whole_groups():
    rows = [pair(i, i, f"g{i % 20}", split="train") for i in range(200)]
    found = dealt(rows)
    assert {row.split for row in found} == {"train", "validation"}
    assert straddling(found, lambda row: row.group) == []


def test_a_source_with_a_test_and_nothing_else_is_only_evaluated():
    rows = [pair(i, i, split="test") for i in range(50)]
    assert dealt(rows) == rows


def test_open_rows_beside_a_fixed_test_are_dealt_to_train_and_validation():
    rows = [pair(i, i, split="test") for i in range(50)] + [pair(i, i) for i in range(50, 150)]
    found = dealt(rows, validation=0.1)
    assert found[:50] == rows[:50]
    assert Counter(row.split for row in found[50:]) == {"train": 90, "validation": 10}


@pytest.mark.parametrize("others", [["train"], ["train", "validation"], []])
def test_open_rows_of_a_group_whose_split_is_fixed_go_with_it(others):
    fixed = [pair(f"f{i}", f"f{i}", f"g{i}", split="test") for i in range(20)]
    fixed += [pair(f"{split}{i}", f"{split}{i}", f"{split}{i}", split=split) for split in others for i in range(20)]
    rows = [*fixed, *(pair(f"o{i}", f"o{i}", f"g{i}") for i in range(20)), *(pair(f"p{i}", f"p{i}") for i in range(20))]
    found = dealt(rows)
    assert straddling([row for row in found if row.group], lambda row: row.group) == []
    assert [row.split for row in found[len(fixed) : len(fixed) + 20]] == ["test"] * 20


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (-0.1, 0.1), (6, 10)])
def test_shares_that_leave_no_train_are_refused(validation, test):
    with pytest.raises(ValueError, match=f"shares with a sum below 1, got {validation} and {test}"):
        Group(validation=validation, test=test, largest=1.0, seed=0)


def families(rows, split, task):
    return Counter(row.group for row in rows if row.split == split and row.task == task)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_holds_more_than_the_stated_share_of_a_held_out_split(seed):
    """One group of graded pairs would fill the test split alone, as module families do that link their objects densely."""
    draw = random.Random(seed)
    rows = [pair(f"p{i}", f"p{i}", "large", task="sts") for i in range(150)]
    for group in range(120):
        rows += [pair(f"q{group} {i}", f"q{group} {i}", f"g{group}") for i in range(draw.randint(1, 12))]
        number = draw.randint(1, 6)
        rows += [pair(f"s{group} {i}", f"s{group} {i}", f"g{group}", task="sts") for i in range(number)]
    found = dealt(rows, validation=0.1, test=0.2, largest=0.15, seed=seed)
    assert {row.split for row in found if row.group == "large"} == {"train"}
    for task in ("retrieval", "sts"):
        total = sum(row.task == task for row in rows)
        for split, share in (("validation", 0.1), ("test", 0.2)):
            sizes = families(found, split, task)
            assert 0.6 * share * total <= sum(sizes.values()) <= share * total  # the other task may leave no room
            assert max(sizes.values()) <= 0.15 * share * total


def test_where_all_groups_are_large_they_are_held_out_all_the_same():
    rows = [pair(i, i, f"g{i // 30}") for i in range(300)]
    found = dealt(rows, validation=0.1, test=0.2, largest=0.1)
    assert Counter(row.split for row in found) == {"train": 210, "validation": 30, "test": 60}


def test_the_task_that_few_groups_hold_is_dealt_before_others_take_up_its_room():
    rows = [pair(f"q{i}", f"q{i}", f"g{i}") for i in range(200)]
    rows += [pair(f"{i} {k}", f"{i} {k}", f"g{i}", task="sts") for i in range(20) for k in range(5)]
    found = dealt(rows, validation=0.1, test=0.1)
    assert sum(row.split == "test" for row in found if row.task == "sts") == 10
    assert sum(row.split == "validation" for row in found if row.task == "sts") == 10


@pytest.mark.parametrize("largest", [0.0, -1.0, 10])
def test_a_share_of_the_largest_group_outside_0_to_1_is_refused(largest):
    with pytest.raises(ValueError, match=re.escape(f"in (0, 1], got {largest}")):
        dealt([], largest=largest)


@pytest.mark.parametrize("giant", [850, 900, 990])
def test_a_group_that_leaves_few_rows_leaves_some_for_either_split(giant):
    rows = Group(validation=0.06, test=0.1, largest=0.1, seed=0)(
        [pair(i, i, "giant" if i < giant else None) for i in range(1000)]
    )
    counts = Counter(row.split for row in rows)
    assert {row.split for row in rows[:giant]} == {"train"}
    assert min(counts["test"], counts["validation"]) >= 0.3 * (1000 - giant)
