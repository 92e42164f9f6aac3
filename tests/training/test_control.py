from collections import Counter

import pytest
import torch

from pipeline.corpus.batches import Feed
from pipeline.corpus.row import Row
from pipeline.objective.margin_mse import MarginMSE
from pipeline.objective.teacher_kl import TeacherKL
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.control import dealt, shuffled
from pipeline.training.data import TrainingData
from pipeline.training.reading import Reader, code_of

WORDS = ["cat", "dog", "mat", "park", "sat", "ran", "rolling", "window", "over", "rows", "sum", "of", "all", "numbers", "the"]


def rows_of(size, scored=False):
    return [
        Row("retrieval", f"q{i}", f"{WORDS[i]} cat", f"d{i}", f"{WORDS[i]} dog", float(i) if scored else None)
        for i in range(size)
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [2, 3, 9])
def test_the_control_gives_each_query_another_rows_document_and_loses_none(size, seed):
    rows = rows_of(size)
    found = shuffled(rows, seed)
    assert [row.query for row in found] == [row.query for row in rows]
    assert Counter((row.document_id, row.document) for row in found) == Counter((row.document_id, row.document) for row in rows)
    assert all(row.document != own.document for row, own in zip(found, rows, strict=True))
    assert found == shuffled(rows, seed)


def test_another_seed_is_another_deal():
    assert shuffled(rows_of(9), 0) != shuffled(rows_of(9), 1)


@pytest.mark.parametrize("seed", range(20))
def test_no_query_gets_a_document_that_another_row_says_to_answer_it(seed):
    """Each query has two documents, and one of them asks for another."""
    rows = [Row("retrieval", f"q{i}", f"q{i}", f"d{j}", f"d{j}") for i in range(6) for j in (i, (i + 1) % 6)]
    rows.append(Row("retrieval", "d3", "d3", "q0", "q0"))
    known = {(row.query, row.document) for row in rows} | {(row.document, row.query) for row in rows}
    found = shuffled(rows, seed)
    assert len(found) == len(rows)
    assert not known & {(row.query, row.document) for row in found}


@pytest.mark.parametrize("seed", range(20))
def test_grades_go_apart_from_queries_and_documents(seed):
    rows = rows_of(9, scored=True)
    found = shuffled(rows, seed)
    assert sorted(row.score for row in found) == sorted(row.score for row in rows)
    assert all(row.score not in (float(row.query_id[1:]), float(row.document_id[1:])) for row in found)


def test_a_row_for_which_no_document_is_left_is_left_out():
    rows = [Row("retrieval", f"q{i}", f"q{i}", "d", "the only one") for i in range(3)]
    assert dealt(rows, [{"the only one"}] * 3, ["the only one"] * 3, 0) == ([], [])


class Told:
    """A teacher that gives every pair of texts a number of its own."""

    def __init__(self):
        self.numbers = {}

    def score(self, query, document):
        return self.numbers.setdefault((query, document), float(len(self.numbers) + 1))

    def scores(self, task, queries, documents, positive, negative):
        candidate = torch.cat([positive[:, :1], negative], dim=1).tolist()
        return torch.tensor(
            [[self.score(q, documents[n]) if n >= 0 else 0.0 for n in row] for q, row in zip(queries, candidate, strict=True)]
        )


NEGATIVES = {f"{WORDS[i]} cat": [f"{WORDS[(i + 4) % 9]} ran", f"{WORDS[(i + 5) % 9]} over"] for i in range(9)}


def control(encoder, teacher):
    return TrainingData(
        {"retrieval": rows_of(9)}, {"retrieval": NEGATIVES}, Reader(encoder, 12), known=[], shuffled=["retrieval"],
        feeds={"retrieval": Feed(9, 1, 1.0, True)}, num_negatives={"retrieval": 2}, steps=3, seed=0, mixed=False, by_length=False,
        teachers={"retrieval": teacher}, views={},
    )  # fmt: skip


def decoded(encoder, ids):
    return encoder.tokenizer.decode(ids.tolist(), skip_special_tokens=True)


def test_a_document_is_dealt_with_the_negatives_and_the_teachers_scores_that_were_found_with_it(tiny_encoder):
    encoder, teacher = tiny_encoder(), Told()
    for batch in control(encoder, teacher).batches:
        (part,) = batch.parts
        texts = [decoded(encoder, ids) for ids in batch.ids]
        documents = texts[part.first_document :]
        for i, query in enumerate(texts[: part.first_document]):
            document = documents[int(part.positive[i, 0])]
            source = f"{document.removesuffix(' dog')} cat"
            assert source != query
            assert [documents[n] for n in part.negative[i].tolist()] == NEGATIVES[source]
            assert part.teacher[i].tolist() == [teacher.score(source, one) for one in (document, *NEGATIVES[source])]


def test_what_is_known_in_a_control_is_what_was_dealt(tiny_encoder):
    """Left out for its own query alone, a true document would be told apart from all others."""
    encoder = tiny_encoder()

    def read(text):
        return code_of(torch.tensor(encoder.token_ids([text], 12)[0]))

    data = control(encoder, Told())
    deals = {(row.query, row.document) for row in data.batches.rows["retrieval"]}
    assert not deals & {(row.query, row.document) for row in rows_of(9)}
    for batch in data.batches:
        assert {tuple(pair) for pair in batch.parts[0].known.tolist()} == {
            pair for q, d in deals for pair in ((read(q), read(d)), (read(d), read(q)))
        }


@pytest.mark.parametrize("objective", [MarginMSE(scale=1.0), TeacherKL(temperature=0.05, teacher_temperature=1.0)])
def test_no_true_pair_and_its_score_meet_in_the_loss_of_a_control(tiny_encoder, objective):
    encoder, teacher = tiny_encoder(), Told()
    module = ContrastiveModule(
        encoder, {"retrieval": objective}, torch.optim.SGD, negatives={"retrieval": "gathered"}, steps=3, warmup_steps=0, seed=0,
        chunk_tokens=99, kept_tokens=99, similarities_at_once=99, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip
    true = {(row.query, row.document) for row in rows_of(9)}
    for batch in control(encoder, teacher).batches:
        (part,) = batch.parts
        texts = [decoded(encoder, ids) for ids in batch.ids]
        pairs = module.pairs(batch, part, torch.randn(len(texts), 1, 16))
        index = torch.cat([pairs.positive[:, :1], pairs.negative], dim=1).tolist()
        for i, row in enumerate(index):
            given = {(texts[i], texts[part.first_document + n]) for n in row}
            assert not given & true
            assert all(pairs.teacher[i, c] != teacher.numbers.get(pair, -1.0) for c, pair in enumerate(given))
        assert torch.isfinite(objective(pairs))
