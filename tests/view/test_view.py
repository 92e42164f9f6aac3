"""A view that varies: what it changes is read, and nothing else follows it."""

import random

import pytest
import torch

from pipeline.corpus.batches import Batch
from pipeline.corpus.row import Row
from pipeline.training.data import Batches
from pipeline.training.reading import Known, Reader
from pipeline.view.rows import Rows
from pipeline.view.view import View

ROWS = [
    Row("retrieval", f"q{i}", f"{word} the cat sat on", f"d{i}", f"a {word}") for i, word in enumerate(("mat", "park", "sum"))
]
PLAN = [
    Batch([("retrieval", [[0], [1], [2]])]),
    Batch([("retrieval", [[2], [0], [1]])]),
    Batch([("retrieval", [[0], [1], [2]])]),
]


class Shuffled(View):
    """The words of queries in another order."""

    varies = True

    def text(self, text, side, draw):
        words = text.split()
        draw.shuffle(words)
        return " ".join(words) if side == "query" else text


class Repeated(View):
    """A token of a document twice, as far as there is room."""

    varies = True

    def ids(self, ids, side, draw, limit):
        place = draw.randrange(1, len(ids) - 1)
        return [*ids[: place + 1], *ids[place:]] if side == "document" and len(ids) < limit else ids


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return tiny_encoder()


def batches(encoder, view, seed=0):
    reader = Reader(encoder, 12)
    return Batches(
        PLAN, {"retrieval": ROWS}, {}, reader, known={"retrieval": Known(ROWS, reader)}, sources={}, num_negatives={"retrieval": 0},
        teachers={}, views={"retrieval": view} if view else {}, seed=seed,
    )  # fmt: skip


def test_words_are_drawn_anew_in_each_step_from_seed_step_and_place(encoder):
    found = list(batches(encoder, Shuffled()))
    plain = list(batches(encoder, None))
    for batch, same in zip(found, plain, strict=True):
        for ids, given in zip(batch.ids, same.ids, strict=True):
            assert sorted(ids.tolist()) == sorted(given.tolist())
        assert all(torch.equal(batch.ids[i], same.ids[i]) for i in range(3, 6))  # documents
    orders = [batch.ids[0].tolist() for batch in found]
    assert orders[0] != orders[2]  # one row, two steps
    again = batches(encoder, Shuffled())
    again.load_state_dict({"given": 2})
    (last,) = again
    assert all(torch.equal(a, b) for a, b in zip(last.ids, found[2].ids, strict=True))
    other = list(batches(encoder, Shuffled(), seed=1))
    assert any(not torch.equal(a, b) for a, b in zip(other[0].ids, found[0].ids, strict=True))


def test_what_is_known_of_a_text_is_known_of_what_is_read_in_its_place(encoder):
    for batch, plain in zip(batches(encoder, Shuffled()), batches(encoder, None), strict=True):
        assert torch.equal(batch.hashes, plain.hashes)
        assert torch.equal(batch.parts[0].known, plain.parts[0].known)
        assert batch.mark == plain.mark


def test_tokens_are_changed_behind_the_words_within_the_limit(encoder):
    reader = Reader(encoder, 12)
    for batch, plain in zip(batches(encoder, Repeated()), batches(encoder, None), strict=True):
        for place, (ids, given) in enumerate(zip(batch.ids, plain.ids, strict=True)):
            assert len(ids) == len(given) + (place >= 3)
            assert ids.dtype == given.dtype
    assert reader.limit == 12


def test_rows_leaves_everything_as_it_is():
    draw = random.Random(0)
    assert Rows().rows(ROWS) == ROWS
    assert (Rows.varies, Rows.needs_dropout) == (False, False)
    assert Rows().text("a b", "query", draw) == "a b"
