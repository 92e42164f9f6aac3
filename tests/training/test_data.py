from collections import Counter

import pytest
import torch

from pipeline.corpus.batches import Batch, plan
from pipeline.corpus.row import Row
from pipeline.training.data import Batches, TrainingData, shuffled

WORDS = ["cat", "dog", "mat", "park", "sat", "ran", "rolling", "window", "over", "rows", "sum", "of", "all", "numbers", "the"]


def pair(i, score=None):
    return Row("sts" if score is not None else "retrieval", f"q{i}", f"{WORDS[i]} cat", f"d{i}", f"{WORDS[i]} dog", score)


ROWS = {"retrieval": [pair(i) for i in range(9)], "sts": [pair(i, float(i)) for i in range(6)]}
NEGATIVES = {"retrieval": {"cat cat": ["dog dog", "park ran", "sat sat"], "mat cat": ["sum of all"]}}


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return tiny_encoder()


def batches(encoder, planned, *, negatives=NEGATIVES, num_negatives=1, rows=ROWS):
    given = {"retrieval": num_negatives, "sts": 0}
    return Batches(planned, rows, negatives, encoder, max_length_tokens=12, num_negatives=given)


def decoded(encoder, ids, mask):
    return [
        encoder.tokenizer.decode(row[: int(length)].tolist(), skip_special_tokens=True)
        for row, length in zip(ids, mask.sum(1), strict=True)
    ]


def texts(encoder, batch):
    return decoded(encoder, batch.query_ids, batch.query_mask), decoded(encoder, batch.document_ids, batch.document_mask)


def test_queries_and_documents_stand_in_the_order_of_the_plan_and_negatives_behind(encoder):
    (batch,) = batches(encoder, [Batch("retrieval", [0, 4, 2])])
    queries, documents = texts(encoder, batch)
    assert batch.task == "retrieval"
    assert queries == ["cat cat", "sat cat", "mat cat"]
    assert documents == ["cat dog", "sat dog", "mat dog", "dog dog", "sum of all"]
    assert batch.positive.tolist() == [[0], [1], [2]]
    assert batch.score is None


@pytest.mark.parametrize(("num_negatives", "expected"), [(0, []), (1, ["dog dog"]), (2, ["dog dog", "park ran"]), (9, None)])
def test_each_query_brings_at_most_so_many_of_its_negatives_hardest_first(encoder, num_negatives, expected):
    (batch,) = batches(encoder, [Batch("retrieval", [0])], num_negatives=num_negatives)
    expected = NEGATIVES["retrieval"]["cat cat"] if expected is None else expected
    assert texts(encoder, batch)[1] == ["cat dog", *expected]


def test_a_negative_that_is_a_positive_of_the_batch_is_passed_over_for_the_next(encoder):
    (batch,) = batches(encoder, [Batch("retrieval", [0, 1])])  # row 1 answers with "dog dog"
    assert texts(encoder, batch)[1] == ["cat dog", "dog dog", "park ran"]


def test_a_graded_batch_carries_its_scores_and_no_negatives(encoder):
    (batch,) = batches(encoder, [Batch("sts", [5, 0, 3])])
    assert batch.score.tolist() == [5, 0, 3]
    assert batch.score.dtype == torch.float32
    assert len(batch.document_ids) == 3


def test_texts_are_cut_at_the_trainings_limit(encoder):
    rows = {"retrieval": [Row("retrieval", "q", "cat " * 50, "d", "dog")]}
    limited = Batches([Batch("retrieval", [0])], rows, {}, encoder, max_length_tokens=5, num_negatives={"retrieval": 0})
    (batch,) = limited
    assert batch.query_ids.shape == (1, 5)


def same(left, right):
    return left.task == right.task and torch.equal(left.query_ids, right.query_ids)


def test_a_resumed_training_goes_on_with_the_next_batch(encoder):
    planned = plan(ROWS, {"retrieval": 3, "sts": 2}, steps=6, seed=0)
    whole = list(batches(encoder, planned))
    first = batches(encoder, planned)
    iterator = iter(first)
    for _ in range(2):
        next(iterator)
    state = first.state_dict()
    resumed = batches(encoder, planned)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    rest = list(resumed)
    assert len(rest) == 4
    assert all(same(left, right) for left, right in zip(rest, whole[2:], strict=True))
    assert len(list(resumed)) == 6, "a later pass begins at the beginning"


def test_a_training_resumed_at_its_end_has_nothing_left(encoder):
    planned = plan(ROWS, {"retrieval": 3, "sts": 2}, steps=4, seed=0)
    done = batches(encoder, planned)
    assert len(list(done)) == len(done) == 4
    resumed = batches(encoder, planned)
    resumed.load_state_dict(done.state_dict())
    assert list(resumed) == []


def test_a_second_pass_gives_the_same_batches_again(encoder):
    found = batches(encoder, plan(ROWS, {"retrieval": 3, "sts": 2}, steps=4, seed=0))
    first, second = list(found), list(found)
    assert len(first) == len(second) == 4
    assert all(same(left, right) for left, right in zip(first, second, strict=True))


def test_the_data_of_a_training_is_planned_before_the_first_step(encoder):
    settings = {"batch_size": {"retrieval": 3, "sts": 2}, "num_negatives": {"retrieval": 0, "sts": 0}}
    data = TrainingData(ROWS, {}, encoder, **settings, steps=8, max_length_tokens=12, seed=1)
    assert data.train_dataloader().batches == plan(ROWS, settings["batch_size"], steps=8, seed=1)
    with pytest.raises(ValueError, match="task sts: a batch of 7"):
        TrainingData(
            ROWS, {}, encoder, **settings | {"batch_size": {"retrieval": 3, "sts": 7}}, steps=8, max_length_tokens=12, seed=1
        )


def test_the_control_deals_documents_anew_and_loses_none():
    rows = ROWS["retrieval"]
    found = shuffled(rows, 0)
    assert [row.query for row in found] == [row.query for row in rows]
    assert Counter((row.document_id, row.document) for row in found) == Counter((row.document_id, row.document) for row in rows)
    assert sum(row.document != own.document for row, own in zip(found, rows, strict=True)) >= 6
    assert found == shuffled(rows, 0)
    assert found != shuffled(rows, 1)


def test_the_control_deals_scores_apart_from_documents():
    rows = [pair(i % 15, float(i)) for i in range(15)]
    found = shuffled(rows, 0)
    assert sorted(row.score for row in found) == sorted(row.score for row in rows)
    score_of = {row.document: row.score for row in rows}
    assert sum(row.score == score_of[row.document] for row in found) <= 3
