from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.batches import Feed, turns
from pipeline.corpus.batches import plan as plan_all
from pipeline.corpus.row import Row


def pair(query, document, task="retrieval"):
    return Row(task, query, query, document, document, 1.0 if task == "sts" else None)


def distinct(num, task="retrieval"):
    return [pair(f"q{i}", f"d{i}", task) for i in range(num)]


def plan(rows, sizes, *, steps, seed, mixed=False, by_length=False, num_positives=1, shares=None):
    feeds = {t: Feed(size, num_positives, (shares or {}).get(t, 1.0), t != "sts") for t, size in sizes.items()}
    return plan_all(rows, feeds, steps=steps, seed=seed, mixed=mixed, by_length=by_length)


def rows_of(batch):
    return [i for _, groups in batch.parts for group in groups for i in group]


def task_of(batch):
    ((task, _),) = batch.parts
    return task


def texts(rows, batch):
    return [text for i in rows_of(batch) for text in (rows[i].query, rows[i].document)]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(5, 19)), min_size=12, max_size=40), st.integers(2, 4), st.integers(0, 3)
)
def test_no_text_stands_twice_in_a_batch(pairs, size, seed):
    rows = [pair(str(q), str(d)) for q, d in pairs if q != d]
    try:
        batches = plan({"retrieval": rows}, {"retrieval": size}, steps=12, seed=seed)
    except ValueError:
        return  # too much in common; the tests below say when that may be
    assert len(batches) == 12
    for batch in batches:
        assert len(rows_of(batch)) == size
        assert max(Counter(texts(rows, batch)).values()) == 1


def test_a_batch_is_of_one_task_and_tasks_take_turns_equally_often_in_a_shuffled_order():
    rows = {"a": distinct(20, "a"), "b": distinct(9, "b"), "c": distinct(15, "c")}
    turns = [task_of(batch) for batch in plan(rows, {"a": 4, "b": 3, "c": 5}, steps=31, seed=0)]
    assert sorted(Counter(turns).values()) == [10, 10, 11]
    assert turns != sorted(turns)
    assert turns != [("a", "b", "c")[i % 3] for i in range(31)]


def test_each_task_has_its_own_batch_size():
    rows = {"a": distinct(20), "b": distinct(20)}
    assert {(task_of(b), len(rows_of(b))) for b in plan(rows, {"a": 4, "b": 7}, steps=6, seed=0)} == {("a", 4), ("b", 7)}


def test_every_row_is_used_once_before_any_is_used_twice():
    rows = distinct(24)
    used = [i for batch in plan({"t": rows}, {"t": 4}, steps=12, seed=3) for i in rows_of(batch)]
    assert sorted(used[:24]) == sorted(used[24:]) == list(range(24))
    assert used[:24] != used[24:]
    assert used[:24] != list(range(24))


def test_rows_that_do_not_divide_into_batches_are_used_equally_often_too():
    used = Counter(i for batch in plan({"t": distinct(10)}, {"t": 4}, steps=25, seed=3) for i in rows_of(batch))
    assert set(used) == set(range(10))
    assert max(used.values()) - min(used.values()) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_a_row_that_was_passed_over_comes_in_the_next_batch(seed):
    rows = [pair("same", "d0"), pair("same", "d1"), pair("other", "d2")]  # the third goes with either of the first two
    batches = [set(rows_of(batch)) for batch in plan({"t": rows}, {"t": 2}, steps=2, seed=seed)]
    assert sorted(batches, key=min) == [{0, 2}, {1, 2}]


def test_equal_arguments_give_equal_batches_and_another_seed_others():
    rows = {"a": distinct(20), "b": distinct(20)}
    sizes = {"a": 4, "b": 4}
    again = {"b": distinct(20), "a": distinct(20)}
    assert plan(rows, sizes, steps=9, seed=5) == plan(again, sizes, steps=9, seed=5)
    assert plan(rows, sizes, steps=9, seed=5) != plan(rows, sizes, steps=9, seed=6)


def test_more_steps_go_on_where_fewer_ended():
    rows = {"t": distinct(10)}
    assert plan(rows, {"t": 4}, steps=9, seed=5)[:4] == plan(rows, {"t": 4}, steps=4, seed=5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (distinct(3), "needs as many different queries and documents, training rows have 3"),
        ([pair("same", f"d{i}") for i in range(10)], "training rows have 1"),
        ([pair(f"q{i}", "same") for i in range(10)], "training rows have 1"),
        ([], "training rows have 0"),
    ],
)
def test_too_few_rows_for_a_batch_are_refused_by_task_and_number(rows, message):
    with pytest.raises(ValueError, match=f"task t: a batch of 4 .*{message}.*batch_size"):
        plan({"t": rows}, {"t": 4}, steps=1, seed=0)


@pytest.mark.parametrize(
    "rows",
    [
        [pair("a", "b"), pair("b", "c"), pair("c", "a")],  # any two of these share a text
        [pair("a", f"d{i}") for i in range(9)] + [pair(f"q{i}", "d0") for i in range(9)],  # so do any three of these
    ],
)
def test_rows_that_share_texts_too_often_for_any_batch_are_refused_and_not_tried_for_ever(rows):
    with pytest.raises(ValueError, match=r"task t: found no . training rows that share no text"):
        plan({"t": rows}, {"t": 2 if len(rows) == 3 else 3}, steps=1, seed=0)


def test_a_batch_that_only_some_orders_find_is_found():
    rows = [pair("a", "x"), pair("a", "y"), pair("b", "x")]  # only the last two fit together
    assert [sorted(rows_of(batch)) for batch in plan({"t": rows}, {"t": 2}, steps=5, seed=0)] == [[1, 2]] * 5


def test_graded_pairs_may_share_texts_but_no_row_stands_twice_in_a_batch():
    rows = [pair("same", f"d{i}", "sts") for i in range(5)]
    for batch in plan({"sts": rows}, {"sts": 4}, steps=20, seed=0):
        assert len(set(rows_of(batch))) == 4
    with pytest.raises(ValueError, match="task sts: a batch of 6 needs as many training rows, there are 5"):
        plan({"sts": rows}, {"sts": 6}, steps=1, seed=0)


def test_a_task_comes_as_often_as_its_turns_say():
    rows = {"a": distinct(20), "b": distinct(20)}
    found = Counter(task_of(b) for b in plan(rows, {"a": 2, "b": 2}, steps=20, seed=0, shares={"a": 3.0, "b": 1.0}))
    assert found == {"a": 15, "b": 5}


def test_turns_by_size_use_each_row_equally_often_and_a_temperature_stands_between():
    num_rows, sizes = {"a": 800, "b": 50}, {"a": 8, "b": 2}
    assert turns("size", 9.0, num_rows, sizes) == {"a": 100, "b": 25}
    assert turns("uniform", 9.0, num_rows, sizes) == {"a": 1, "b": 1}
    assert turns("temperature", 2.0, num_rows, sizes) == {"a": 10, "b": 5}


def test_mixed_batches_hold_every_task_and_as_many_rows_in_all():
    rows = {"a": distinct(50, "a"), "b": distinct(50, "b")}
    sizes, shares = {"a": 8, "b": 6}, {"a": 2.0, "b": 1.0}
    mixed, single = (plan(rows, sizes, steps=9, seed=0, shares=shares, mixed=mixed) for mixed in (True, False))
    count = [
        Counter({task: sum(len(groups) for b in batches for t, groups in b.parts if t == task) for task in rows})
        for batches in (mixed, single)
    ]
    assert count[0] == count[1] == {"a": 48, "b": 18}
    assert all([task for task, _ in batch.parts] == ["a", "b"] for batch in mixed)
    assert {len(rows_of(batch)) for batch in mixed} <= {7, 8}


def test_a_mixed_batch_in_which_a_task_would_stand_alone_with_one_row_is_refused():
    rows = {"a": distinct(50, "a"), "sts": distinct(50, "sts")}
    with pytest.raises(ValueError, match="task sts: mixed batches would hold 1 of its queries, at least 2"):
        plan(rows, {"a": 8, "sts": 2}, steps=8, seed=0, mixed=True)


def test_rows_of_one_query_come_together_each_once_a_round():
    rows = [pair(f"q{i // 5}", f"d{i}") for i in range(30)]  # six queries with five documents
    batches = plan({"t": rows}, {"t": 3}, steps=6, seed=1, num_positives=2)
    groups = [group for batch in batches for _, of_task in batch.parts for group in of_task]
    assert all(len({rows[i].query for i in group}) == 1 and len(group) <= 2 for group in groups)
    used = Counter(i for group in groups for i in group)
    assert max(used.values()) == 1 or len(used) > 25  # a row comes twice only where what is left would share its query
    for batch in batches:
        assert len({rows[i].query for i in rows_of(batch)}) == 3


def test_batches_by_length_hold_rows_of_like_length_and_use_each_once():
    rows = [pair(f"q{i}", f"d{i} " * (1 + i % 40)) for i in range(160)]
    spread = []
    for by_length in (True, False):
        batches = plan({"t": rows}, {"t": 8}, steps=20, seed=0, by_length=by_length)
        assert sorted(i for batch in batches for i in rows_of(batch)) == list(range(160))
        lengths = [[len(rows[i].document) for i in rows_of(batch)] for batch in batches]
        spread.append(sum(max(one) - min(one) for one in lengths) / len(lengths))
        assert [max(one) for one in lengths] != sorted(max(one) for one in lengths)
    assert spread[0] < 0.4 * spread[1]
