"""Scores of another encoder, of exactly the candidates of a batch."""

from dataclasses import replace

import pytest
import torch

from pipeline.corpus.batches import Batch
from pipeline.corpus.row import Row
from pipeline.teacher.encoder import EncoderTeacher
from pipeline.teacher.teacher import Mean
from pipeline.training.data import Batches
from pipeline.training.reading import Known, Reader

WORDS = ["cat", "dog", "mat", "park", "sat", "ran"]
NEGATIVES = {"retrieval": {"cat cat": ["dog dog", "park ran", "sat sat"], "mat cat": ["sum of all"]}}


def pair(i):
    return Row("retrieval", f"q{i}", f"{WORDS[i]} cat", f"d{i}", f"{WORDS[i]} dog")


ROWS = {"retrieval": [pair(i) for i in range(6)]}


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return tiny_encoder()


def of(encoder):
    teacher = EncoderTeacher(directory="checkpoints/base", sha256=None)
    teacher.take(encoder, max_length_tokens=12, batch_tokens=64)
    return teacher


def batches(encoder, plan, *, teachers, num_negatives, rows=ROWS):
    reader = Reader(encoder, 12)
    return Batches(
        plan, rows, NEGATIVES, reader, known={"retrieval": Known(rows["retrieval"], reader)}, sources={},
        num_negatives={"retrieval": num_negatives}, teachers=teachers, views={}, seed=0,
    )  # fmt: skip


def single(task, rows):
    """A batch of one task, a row a query."""
    return Batch([(task, [[i] for i in rows])])


def texts(encoder, batch):
    """Queries and documents of the only part."""
    (part,) = batch.parts
    found = [encoder.tokenizer.decode(ids.tolist(), skip_special_tokens=True) for ids in batch.ids]
    return found[: len(part.positive)], found[part.first_document :]


def test_a_teacher_scores_each_query_with_its_main_document_and_its_mined_ones(encoder, tiny_encoder):
    other = tiny_encoder(seed=5)
    teacher = of(other)
    (batch,) = batches(encoder, [single("retrieval", [0, 4, 2])], num_negatives=2, teachers={"retrieval": teacher})
    (part,) = batch.parts
    queries, documents = texts(encoder, batch)
    q, d = (torch.from_numpy(other.encode(t, max_length_tokens=12, batch_tokens=64, title="")) for t in (queries, documents))
    assert part.teacher.shape == (3, 3)
    for i in range(3):
        for c, j in enumerate([int(part.positive[i, 0]), *part.negative[i].tolist()]):
            assert part.teacher[i, c].item() == pytest.approx(float(q[i] @ d[j]) if j >= 0 else 0.0, abs=1e-6)


def test_a_teacher_scores_the_main_document_of_several(encoder, tiny_encoder):
    other = tiny_encoder(seed=5)
    rows = {"retrieval": [replace(pair(i), query="cat cat", query_id="q0") for i in range(3)] + [pair(5)]}
    teacher = of(other)
    (batch,) = batches(
        encoder, [Batch([("retrieval", [[2, 0, 1], [3]])])], rows=rows, num_negatives=1, teachers={"retrieval": teacher}
    )
    (part,) = batch.parts
    limits = {"max_length_tokens": 12, "batch_tokens": 64, "title": ""}
    q, main, mined = (torch.from_numpy(other.encode([text], **limits))[0] for text in ("cat cat", "mat dog", "park ran"))
    assert part.positive.tolist() == [[0, 2, 3], [1, -1, -1]]
    assert part.teacher[0].tolist() == pytest.approx([float(q @ main), float(q @ mined)], abs=1e-6)


def test_several_teachers_are_averaged(encoder, tiny_encoder):
    ours = [of(tiny_encoder(seed=seed)) for seed in (5, 6)]
    given = [single("retrieval", [0, 4, 2])]
    (one,), (other,), (both,) = (
        batches(encoder, given, num_negatives=2, teachers={"retrieval": teacher}) for teacher in (*ours, Mean(ours))
    )
    scores = [batch.parts[0].teacher for batch in (one, other, both)]
    assert not torch.equal(scores[0], scores[1])
    torch.testing.assert_close(scores[2], (scores[0] + scores[1]) / 2)


def test_a_teacher_that_could_change_unseen_is_refused(tiny_encoder, tmp_path):
    tiny_encoder().save(tmp_path / "teacher")
    with pytest.raises(ValueError, match=r"needs its `sha256`, [0-9a-f]{8}"):
        EncoderTeacher(directory=str(tmp_path / "teacher"), sha256=None)
    with pytest.raises(ValueError, match="expected 00"):
        EncoderTeacher(directory=str(tmp_path / "teacher"), sha256="00").load(max_length_tokens=12, batch_tokens=64)
    with pytest.raises(ValueError, match="needs its `sha256`, unknown, as there is no such directory"):
        EncoderTeacher(directory=str(tmp_path / "nothing"), sha256=None)
