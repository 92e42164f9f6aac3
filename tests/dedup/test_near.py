import pytest

from pipeline.cluster.join import Join
from pipeline.corpus.row import Row
from pipeline.dedup.near import Near

JOIN = Join(unit="word", size=1, threshold=0.7, workers=1)
LONG = "one two three four five six"


def pair(query, document, query_id="q", task="retrieval", **values):
    return Row(task, query_id, query, f"d{query_id}", document, **values)


def curated(rows, keep="first"):
    return Near(neighbours=JOIN, keep=keep)("corpus", rows, str.lower)


def test_a_pair_goes_where_both_sides_are_near_and_names_its_twin():
    rows = [pair(LONG, "a b c d", "1"), pair(f"{LONG} seven", "a b c d.", "2"), pair(f"{LONG} seven", "else", "3")]
    kept, dropped = curated(rows)
    assert [row.document for row in kept] == ["a b c d", "else"]
    (gone,) = dropped
    assert (gone.reason, gone.detail, gone.twin_query) == ("near duplicate pair", "1 | d1", LONG)
    assert gone.similarity == pytest.approx(6 / 7)


def test_the_one_kept_is_chosen_by_rule():
    rows = [pair(LONG, "a", "1"), pair(f"{LONG} seven", "a!", "2"), pair(f"Six {LONG}", "A?", "3", group="g")]
    assert [curated(rows, keep)[0][0].query_id for keep in ("first", "longest", "complete")] == ["1", "2", "3"]


def test_what_is_tied_by_a_chain_only_is_not_dropped():
    words = [f"w{i}" for i in range(10)]
    rows = [pair(" ".join(words[i : i + 8]), "a", str(i)) for i in range(3)]  # neighbours 7 of 9, the ends 6 of 10
    assert [row.query_id for row in curated(rows)[0]] == ["0", "2"]


def test_tasks_and_grades_do_not_meet_and_fixed_evaluation_rows_stay():
    rows = [pair(LONG, "a", "1"), pair(f"{LONG} x", "a", "2", "weak"), pair(f"{LONG} y", "a", "3", split="test")]
    graded = [pair(LONG, "a", "4", "sts", score=1.0), pair(f"{LONG} z", "a", "5", "sts", score=2.0)]
    assert curated([*rows, *graded]) == ([*rows, *graded], [])
