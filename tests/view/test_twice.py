"""The same text as query and document, up to the vectors."""

import pytest
import torch
from torch import nn

from pipeline.corpus.batches import Feed
from pipeline.corpus.row import Row
from pipeline.objective.infonce import InfoNCE
from pipeline.training.checks import check_views
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import TrainingData
from pipeline.training.reading import Reader
from pipeline.view.rows import Rows
from pipeline.view.twice import Twice

ROWS = [
    Row("sts", "a", "the cat sat", "b", "on a mat", 3.0),
    Row("sts", "c", "a dog ran", "d", "the cat sat", 1.0),
    Row("sts", "e", "on a mat", "f", "rolling window", 0.0, split="train"),
]


def test_every_text_is_a_query_once_and_its_own_document():
    found = Twice().rows(ROWS)
    assert [row.query for row in found] == ["the cat sat", "on a mat", "a dog ran", "rolling window"]
    assert all(row.query == row.document and row.score is None and row.task == "sts" for row in found)
    assert len({row.query_id for row in found}) == 4
    assert [row.split for row in found] == [None, None, None, "train"]  # each text as the first row that has it
    assert Twice().rows(ROWS) == found


def trained(encoder, seed=0):
    rows = {"sts": Twice().rows(ROWS)}
    data = TrainingData(
        rows, {}, Reader(encoder, 12), known=[], shuffled=[], feeds={"sts": Feed(4, 1, 1.0, True)}, num_negatives={"sts": 0}, steps=2,
        seed=seed, mixed=False, by_length=False, teachers={}, views={},
    )  # fmt: skip
    module = ContrastiveModule(
        encoder, {"sts": InfoNCE(temperature=0.05, symmetric=False, same_side=[])}, torch.optim.SGD, negatives={"sts": "gathered"},
        steps=2, warmup_steps=0, seed=seed, chunk_tokens=64, kept_tokens=64, similarities_at_once=64, return_memory=False,
        on_nonfinite="stop",
    )  # fmt: skip
    return module, data.batches


def test_query_and_document_read_the_same_tokens_and_differ_by_dropout_alone(tiny_encoder):
    module, batches = trained(tiny_encoder(dropout=0.3))
    (batch, _) = batches
    (part,) = batch.parts
    assert all(torch.equal(batch.ids[i], batch.ids[part.first_document + i]) for i in range(4))
    vectors = module.vectors(batch)[:, 0]
    assert (vectors[:4] - vectors[4:]).abs().amax(1).min() > 1e-3
    torch.testing.assert_close(module.vectors(batch)[:, 0], vectors)  # drawn by seed, step and place
    module.eval()
    still = module.vectors(batch)[:, 0]
    torch.testing.assert_close(still[:4], still[4:])


def test_what_a_row_marks_is_no_negative_of_a_text(tiny_encoder):
    """`the cat sat` and `on a mat` are tied by a row, so neither is pushed away from the other."""
    module, (batch, _) = trained(tiny_encoder())
    (part,) = batch.parts
    decode = module.encoder.tokenizer.decode
    texts = [decode(ids, skip_special_tokens=True) for ids in batch.ids]
    tied = {
        (texts[i], texts[j])
        for i in range(4)
        for j in range(4)
        if [int(batch.hashes[i]), int(batch.hashes[j])] in part.known.tolist()
    }
    assert {(a, b) for a, b in tied if a != b} == set()  # the rows of the training tie a text to itself alone
    rows = {"sts": Twice().rows(ROWS)}
    data = TrainingData(
        rows, {}, Reader(module.encoder, 12), known=ROWS, shuffled=[], feeds={"sts": Feed(4, 1, 1.0, True)}, num_negatives={"sts": 0},
        steps=1, seed=0, mixed=False, by_length=False, teachers={}, views={},
    )  # fmt: skip
    (batch,) = data.batches
    texts = [decode(ids, skip_special_tokens=True) for ids in batch.ids]
    known = batch.parts[0].known.tolist()
    tied = {(texts[i], texts[j]) for i in range(4) for j in range(4) if [int(batch.hashes[i]), int(batch.hashes[j])] in known}
    assert ("the cat sat", "on a mat") in tied
    assert ("a dog ran", "rolling window") not in tied


def test_an_encoder_without_dropout_is_told(tiny_encoder):
    check_views("train-x", {"sts": Twice()}, tiny_encoder(dropout=0.1))
    check_views("train-x", {"sts": Rows()}, tiny_encoder(dropout=0.0))
    assert all(module.p == 0 for module in tiny_encoder(dropout=0.0).modules() if isinstance(module, nn.Dropout))
    with pytest.raises(ValueError, match="train-x, task sts: Twice needs an encoder with dropout"):
        check_views("train-x", {"sts": Twice()}, tiny_encoder(dropout=0.0))
