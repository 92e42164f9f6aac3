"""Rows for a probe, on corpora small enough to look through."""

from collections import Counter

import pytest

from pipeline.corpus.row import Row
from pipeline.split.set_aside import SetAside


def row(task, query, document, group=None, score=None):
    return Row(task, f"q {query}", query, f"d {document}", document, score=score, split="train", group=group)


def grouped(num, size=3, task="retrieval"):
    """``num`` groups of ``size`` rows, no text twice."""
    return [row(task, f"{task} {g}.{i}", f"answer {task} {g}.{i}", f"{task} {g}") for g in range(num) for i in range(size)]


def taken(found, train):
    return [(name, train[name][i]) for name, own in found.rows.items() for i in own]


def test_whole_groups_leave_and_no_more_than_the_share():
    train = {"a": grouped(20), "b": grouped(30, task="sts")}
    found = SetAside(rows={"retrieval": 5, "sts": 4}, share=0.10, seed=0)(train)
    for name, rows in train.items():
        out = set(found.rows[name]) | set(found.tied[name])
        groups = {rows[i].group for i in out}
        assert out == {i for i, one in enumerate(rows) if one.group in groups}
        assert len(out) <= 0.10 * len(rows)
    assert Counter(one.task for _, one in taken(found, train)) == {"retrieval": 5, "sts": 4}
    assert [len(found.tied[name]) for name in "ab"] == [1, 2]  # of two groups of three each


def test_rows_tied_by_a_query_or_a_document_leave_together():
    rows = [row("retrieval", f"q{i // 2}", f"d{(i + 1) // 2}") for i in range(6)]  # a chain: each shares a text with the next
    rows += [row("retrieval", f"other {i}", f"answer {i}") for i in range(60)]
    for seed in range(20):
        found = SetAside(rows={"retrieval": 6}, share=0.2, seed=seed)({"a": rows})
        out = set(found.rows["a"]) | set(found.tied["a"])
        assert len(out & set(range(6))) in (0, 6)


def test_no_text_stands_in_two_rows_whatever_their_tasks():
    rows = [row("retrieval", f"text {g}", f"answer {g}", f"g{g}") for g in range(40)]
    rows += [row("sts", f"text {g}", f"like {g}", f"g{g}", score=1.0) for g in range(40)]
    rows += [row("sts", f"like {g}", f"unlike {g}", f"g{g}", score=0.0) for g in range(40)]
    train = {"a": rows}
    found = SetAside(rows={"retrieval": 3, "sts": 3}, share=0.5, seed=0)(train)
    texts = [text for _, one in taken(found, train) for text in (one.query, one.document)]
    assert len(texts) == len(set(texts))
    assert Counter(one.task for _, one in taken(found, train)) == {"retrieval": 3, "sts": 3}


def test_pairs_judged_irrelevant_and_weak_ones_leave_with_their_group_and_are_not_asked():
    rows = grouped(20)
    rows += [row("retrieval", f"bad {g}", f"no answer {g}", f"retrieval {g}", score=0.0) for g in range(20)]
    rows += [row("weak", f"weak {g}", f"cheap {g}", f"retrieval {g}") for g in range(20)]
    found = SetAside(rows={"retrieval": 3}, share=0.10, seed=0)({"a": rows})
    assert all(rows[i].task == "retrieval" and rows[i].score is None for i in found.rows["a"])
    assert Counter((rows[i].task, rows[i].score) for i in found.tied["a"]) == {("retrieval", 0.0): 1, ("weak", None): 1}


def test_the_seed_alone_decides_and_the_order_of_the_rows_does_not():
    rows = grouped(40)

    def ask(rows, seed):
        return {one for _, one in taken(SetAside(rows={"retrieval": 6}, share=0.2, seed=seed)({"a": rows}), {"a": rows})}

    assert ask(rows, 0) == ask(rows[::-1], 0)
    assert ask(rows, 0) != ask(rows, 1)


def test_without_a_number_nothing_leaves():
    found = SetAside(rows={"retrieval": 0, "sts": 0}, share=0.10, seed=0)({"a": grouped(5)})
    assert found == ({"a": []}, {"a": []})


def test_too_few_rows_are_told_with_what_there_is():
    with pytest.raises(
        ValueError, match=r"curate\.probe\.rows\.retrieval: expected 20 rows .* found 3: .* 0\.1 of its 30 train rows"
    ):
        SetAside(rows={"retrieval": 20}, share=0.10, seed=0)({"a": grouped(10)})
    with pytest.raises(ValueError, match=r"curate\.probe\.rows\.sts: expected 1 rows .* found 0"):
        SetAside(rows={"sts": 1}, share=0.10, seed=0)({"a": grouped(10)})


@pytest.mark.parametrize(("rows", "share"), [({"sts": -1}, 0.1), ({"sts": 1}, 10.0)])
def test_settings_out_of_range_are_refused(rows, share):
    with pytest.raises(ValueError, match=r"see curate\.probe in conf/curate\.yaml"):
        SetAside(rows=rows, share=share, seed=0)
