from dataclasses import replace

import pytest
import torch

from pipeline.corpus.batches import Batch, Feed, plan
from pipeline.corpus.row import Row
from pipeline.training.data import Batches, TrainingData
from pipeline.training.reading import Known, Reader, code_of

WORDS = ["cat", "dog", "mat", "park", "sat", "ran", "rolling", "window", "over", "rows", "sum", "of", "all", "numbers", "the"]


def pair(i, score=None):
    return Row("sts" if score is not None else "retrieval", f"q{i}", f"{WORDS[i]} cat", f"d{i}", f"{WORDS[i]} dog", score)


ROWS = {"retrieval": [pair(i) for i in range(9)], "sts": [pair(i, float(i)) for i in range(6)]}
NEGATIVES = {"retrieval": {"cat cat": ["dog dog", "park ran", "sat sat"], "mat cat": ["sum of all"]}}


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return tiny_encoder()


def batches(
    encoder, plan_, *, negatives=NEGATIVES, num_negatives=1, rows=ROWS, teachers=None, views=None, known=None, limit=12
):
    given = {"retrieval": num_negatives, "sts": 0}
    reader = Reader(encoder, limit)
    related = Known([row for of in rows.values() for row in of] if known is None else known, reader)
    return Batches(
        plan_, rows, negatives, reader, known=dict.fromkeys(rows, related), sources={}, num_negatives=given, teachers=teachers or {},
        views=views or {}, seed=3,
    )  # fmt: skip


def single(task, rows):
    """A batch of one task, a row a query."""
    return Batch([(task, [[i] for i in rows])])


def texts(encoder, batch):
    """Queries and documents of the only part."""
    (part,) = batch.parts
    found = [encoder.tokenizer.decode(ids.tolist(), skip_special_tokens=True) for ids in batch.ids]
    return found[: len(part.positive)], found[part.first_document :]


def planned(steps, *, seed=0, sizes=(3, 2), **further):
    feeds = {task: Feed(size, 1, 1.0, task != "sts") for task, size in zip(("retrieval", "sts"), sizes, strict=True)}
    return plan(ROWS, feeds, steps=steps, seed=seed, **{"mixed": False, "by_length": False} | further)


def test_queries_and_documents_stand_in_the_order_of_the_plan_and_negatives_behind(encoder):
    (batch,) = batches(encoder, [single("retrieval", [0, 4, 2])])
    queries, documents = texts(encoder, batch)
    (part,) = batch.parts
    assert part.task == "retrieval"
    assert queries == ["cat cat", "sat cat", "mat cat"]
    assert documents == ["cat dog", "sat dog", "mat dog", "dog dog", "sum of all"]
    assert part.positive.tolist() == [[0], [1], [2]]
    assert part.score is None


@pytest.mark.parametrize(("num_negatives", "expected"), [(0, []), (1, ["dog dog"]), (2, ["dog dog", "park ran"]), (9, None)])
def test_each_query_brings_at_most_so_many_of_its_negatives_hardest_first(encoder, num_negatives, expected):
    (batch,) = batches(encoder, [single("retrieval", [0])], num_negatives=num_negatives)
    expected = NEGATIVES["retrieval"]["cat cat"] if expected is None else expected
    assert texts(encoder, batch)[1] == ["cat dog", *expected]


def test_a_negative_that_stands_in_the_batch_is_found_there(encoder):
    (batch,) = batches(encoder, [single("retrieval", [0, 1])], num_negatives=2)  # row 1 answers with "dog dog"
    assert texts(encoder, batch)[1] == ["cat dog", "dog dog", "park ran"]
    assert batch.parts[0].negative.tolist() == [[1, 2], [-1, -1]]


def test_a_graded_batch_carries_its_scores_and_no_negatives(encoder):
    (batch,) = batches(encoder, [single("sts", [5, 0, 3])])
    (part,) = batch.parts
    assert part.score.tolist() == [5, 0, 3]
    assert part.score.dtype == torch.float32
    assert part.num_documents == 3


def test_texts_are_cut_at_the_trainings_limit(encoder):
    rows = {"retrieval": [Row("retrieval", "q", "cat " * 50, "d", "dog")]}
    (batch,) = batches(encoder, [single("retrieval", [0])], rows=rows, num_negatives=0, limit=5)
    assert len(batch.ids[0]) == 5


def same(left, right):
    return left.number == right.number and torch.equal(torch.cat(left.ids), torch.cat(right.ids))


def test_a_resumed_training_goes_on_with_the_next_batch(encoder):
    whole_plan = planned(6)
    whole = list(batches(encoder, whole_plan))
    first = batches(encoder, whole_plan)
    iterator = iter(first)
    for _ in range(2):
        next(iterator)
    state = first.state_dict()
    resumed = batches(encoder, whole_plan)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    rest = list(resumed)
    assert len(rest) == 4
    assert all(same(left, right) for left, right in zip(rest, whole[2:], strict=True))
    assert len(list(resumed)) == 6, "a later pass begins at the beginning"


def test_a_training_resumed_at_its_end_has_nothing_left(encoder):
    whole_plan = planned(4)
    done = batches(encoder, whole_plan)
    assert len(list(done)) == len(done) == 4
    resumed = batches(encoder, whole_plan)
    resumed.load_state_dict(done.state_dict())
    assert list(resumed) == []


def test_a_second_pass_gives_the_same_batches_again(encoder):
    found = batches(encoder, planned(4))
    first, second = list(found), list(found)
    assert len(first) == len(second) == 4
    assert all(same(left, right) for left, right in zip(first, second, strict=True))


def test_the_data_of_a_training_is_planned_before_the_first_step(encoder):
    feeds = {"retrieval": Feed(3, 1, 1.0, True), "sts": Feed(2, 1, 1.0, False)}
    settings = {"num_negatives": {"retrieval": 0, "sts": 0}, "mixed": False, "by_length": False, "teachers": {}, "views": {}}
    settings |= {"known": [], "shuffled": [], "steps": 8, "seed": 1}
    data = TrainingData(ROWS, {}, Reader(encoder, 12), feeds=feeds, **settings)
    assert data.train_dataloader().batches == planned(8, seed=1)
    feeds["sts"] = Feed(7, 1, 1.0, False)
    with pytest.raises(ValueError, match="task sts: a batch of 7"):
        TrainingData(ROWS, {}, Reader(encoder, 12), feeds=feeds, **settings)


def test_documents_of_one_query_stand_together_the_main_ones_first(encoder):
    rows = {"retrieval": [replace(pair(i), query="cat cat", query_id="q0") for i in range(3)] + [pair(5)]}
    (batch,) = batches(encoder, [Batch([("retrieval", [[1, 0, 2], [3]])])], rows=rows)
    (part,) = batch.parts
    queries, documents = texts(encoder, batch)
    assert queries == ["cat cat", "ran cat"]
    assert documents == ["dog dog", "ran dog", "cat dog", "mat dog", "park ran"]
    assert part.positive.tolist() == [[0, 2, 3], [1, -1, -1]]
    assert part.negative.tolist() == [[4], [-1]]


def test_a_mixed_batch_has_a_part_for_each_task_over_one_list_of_texts(encoder):
    (batch,) = batches(encoder, [Batch([("retrieval", [[0], [1]]), ("sts", [[5], [3], [4]])])], num_negatives=0)
    decoded = [encoder.tokenizer.decode(ids.tolist(), skip_special_tokens=True) for ids in batch.ids]
    assert decoded[:5] == ["cat cat", "dog cat", "ran cat", "park cat", "sat cat"]
    assert [(part.first_query, part.first_document, part.num_documents) for part in batch.parts] == [(0, 5, 2), (2, 7, 3)]
    assert decoded[7:] == ["ran dog", "park dog", "sat dog"]
    assert batch.size == 5


def test_a_mined_text_is_used_unless_it_reads_like_the_query_or_what_is_known_to_answer_it(encoder):
    rows = {"retrieval": [pair(0), pair(1)]}
    long = "mat park " * 8
    known = [
        *rows["retrieval"],
        Row("weak", "w", "CAT cat", "w", "sum of all"),
        Row("sts", "s", long + "ran", "s", "cat cat", 0.5),
    ]
    mined = {"retrieval": {"cat cat": ["Cat CAT", "Sum of all", long + "sat", "cat DOG", "rows", "over", "Over", "dog dog"]}}
    (batch,) = batches(encoder, [single("retrieval", [0, 1])], rows=rows, known=known, negatives=mined, num_negatives=4)
    assert texts(encoder, batch)[1] == ["cat dog", "dog dog", "rows", "over"]
    assert batch.parts[0].negative.tolist() == [[2, 3, 1, -1], [-1] * 4]


def read_as(encoder, text):
    return code_of(torch.tensor(encoder.token_ids([text], 12)[0]))


def test_a_batch_holds_the_pairs_of_its_texts_that_any_row_makes_and_no_others(encoder):
    rows = {"retrieval": [pair(i) for i in range(4)]}
    elsewhere = [Row("weak", "w", "Dog cat", "w", "CAT dog"), Row("sts", "s", "mat dog", "s", "park dog", 0.0), pair(7)]
    (batch,) = batches(
        encoder, [single("retrieval", [0, 1, 2, 3])], rows=rows, known=[*rows["retrieval"], *elsewhere], num_negatives=0
    )
    own = [("cat cat", "cat dog"), ("dog cat", "dog dog"), ("mat cat", "mat dog"), ("park cat", "park dog")]
    expected = [*own, ("dog cat", "cat dog"), ("mat dog", "park dog")]
    expected += [pair[::-1] for pair in expected]
    found = batch.parts[0].known.tolist()
    assert sorted(found) == sorted([read_as(encoder, a), read_as(encoder, b)] for a, b in expected)
    assert found == sorted(found)
    queries, documents = texts(encoder, batch)
    assert batch.hashes.tolist() == [read_as(encoder, text) for text in (*queries, *documents)]


def test_the_mark_of_a_batch_tells_what_is_known(encoder):
    rows = {"retrieval": [pair(i) for i in range(3)]}
    marks = []
    for more in ([], [Row("weak", "w", "dog cat", "w", "cat dog")]):
        (batch,) = batches(
            encoder, [single("retrieval", [0, 1, 2])], rows=rows, known=[*rows["retrieval"], *more], num_negatives=0
        )
        marks.append(batch.mark)
    assert marks[0] != marks[1]
