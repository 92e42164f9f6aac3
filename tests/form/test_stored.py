"""Forms that store vectors: bytes as declared, scores as faiss gives them, and controls that must be worse."""

import faiss
import numpy as np
import pytest

from pipeline.corpus.collection import Judged
from pipeline.evaluator.retrieval import Retrieval
from pipeline.form.codec import Codec
from pipeline.form.learned_bits import LearnedBits
from pipeline.form.shortlist import Shortlist
from pipeline.form.stored import unit

WIDTH, TRAIN, TEXTS = 32, 1200, 300
FORMS = {
    "bytes": lambda: Codec(factory="SQ8", seed=0),
    "product": lambda: Codec(factory="PQ8", seed=0),
    "rotated": lambda: Codec(factory="OPQ8,PQ8", seed=0),
    "learned": lambda: LearnedBits(bits=24),
    "bits ranked by themselves": lambda: Shortlist(number=40, bytes=False),
    "bits ranked by bytes": lambda: Shortlist(number=40, bytes=True),
}
BYTES = dict(zip(FORMS, (32, 8, 8, 3, 4, 36), strict=True))


def drawn(number, seed):
    """Vectors near a plane of eight directions, as those of models are."""
    draw = np.random.default_rng(seed)
    plane = np.random.default_rng(0).normal(size=(8, WIDTH))
    return unit((draw.normal(size=(number, 8)) @ plane + 0.3 * draw.normal(size=(number, WIDTH))).astype(np.float32))


@pytest.fixture(scope="module")
def fitted():
    made = {name: form() for name, form in FORMS.items()}
    for form in made.values():
        form.fit(drawn(TRAIN, 1))
    return made


def agreement(form, vectors, questions):
    """Share of the ten nearest documents by plain vectors that the form finds among its ten."""
    near = np.argsort(-questions @ vectors.T)[:, :10]
    found = np.argsort(-form.query(questions) @ form.unpack(form.pack(vectors)).T)[:, :10]
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near, found, strict=True)])


@pytest.mark.parametrize("name", FORMS)
def test_what_is_stored_has_the_bytes_that_are_declared_and_is_read_again_at_unit_length(fitted, name):
    form, vectors = fitted[name], drawn(TEXTS, 2)
    packed = form.pack(vectors)
    assert packed.dtype == np.uint8
    assert packed.nbytes == TEXTS * BYTES[name] == TEXTS * form.vector_bytes(WIDTH)
    np.testing.assert_allclose(np.linalg.norm(form.unpack(packed), axis=1), 1, atol=1e-5)


def test_bytes_find_nearly_all_that_plain_vectors_find_and_fewer_bytes_find_less(fitted):
    found = {name: agreement(form, drawn(TEXTS, 2), drawn(100, 3)) for name, form in fitted.items()}
    assert found["bytes"] >= 0.95
    assert found["bytes"] > found["product"] > found["learned"] > 0.1
    assert found["rotated"] > found["product"] - 0.05


def test_a_learned_codebook_lies_nearer_than_one_of_random_train_rows_and_far_nearer_than_noise():
    """The squared distance of vectors from what they are read as, which is what is learned."""
    form, vectors, rows = Codec(factory="PQ4", seed=0), drawn(TEXTS, 2), drawn(TRAIN, 1)
    form.fit(rows)

    def distance(codebook=None):
        if codebook is not None:
            faiss.copy_array_to_vector(codebook.astype(np.float32), form.index.pq.centroids)
        return float(((form.index.sa_decode(form.pack(vectors)) - vectors) ** 2).sum(1).mean())

    learned = distance()
    of_rows = np.ascontiguousarray(rows[:256].reshape(256, 4, WIDTH // 4).transpose(1, 0, 2)).ravel()
    assert learned < 0.9 * distance(of_rows)
    assert learned < 0.6 * distance(of_rows.std() * np.random.default_rng(5).normal(size=of_rows.size))


@pytest.mark.parametrize("bits", [8, 16])
def test_learned_bits_find_more_than_as_many_random_planes(bits):
    vectors, questions = drawn(TEXTS, 2), drawn(100, 3)
    learned, planes = LearnedBits(bits=bits), LearnedBits(bits=bits)
    learned.fit(drawn(TRAIN, 1))
    found = []
    for seed in range(5):
        planes.projection = faiss.RandomRotationMatrix(WIDTH, bits)
        planes.projection.init(seed)
        found.append(agreement(planes, vectors, questions))
    assert agreement(learned, vectors, questions) > max(found) + 0.02
    share = np.unpackbits(learned.pack(vectors), axis=1).mean(0)
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert entropy.mean() >= 0.9


@pytest.mark.parametrize("name", ["bytes", "product", "rotated"])
def test_the_file_beside_the_model_scores_as_the_form_does(fitted, name, tmp_path):
    """As the card says to use it; faiss does not bring what it decodes to unit length, so directions are compared."""
    form, vectors, questions = fitted[name], drawn(TEXTS, 2), drawn(9, 3)
    form.write(tmp_path)
    index = faiss.read_index(str(tmp_path / form.place))
    assert (index.ntotal, form.shared_bytes()) == (0, (tmp_path / form.place).stat().st_size)
    index.add(vectors)
    scores, rows = index.search(questions, TEXTS)
    decoded = form.index.sa_decode(form.pack(vectors))
    np.testing.assert_allclose(scores, np.take_along_axis(questions @ decoded.T, rows, 1), atol=1e-4)
    np.testing.assert_allclose(unit(decoded), form.unpack(form.pack(vectors)), atol=1e-6)


def judged(form, vectors, questions):
    texts = {f"d{i}": f"document {i}" for i in range(len(vectors))} | {f"q{i}": f"question {i}" for i in range(len(questions))}
    of = dict(zip(texts.values(), [*vectors, *questions], strict=True))
    best = {f"q{i}": {f"d{j}": 1} for i, j in enumerate((questions @ vectors.T).argmax(1))}
    queries = {key: text for key, text in texts.items() if key[0] == "q"}
    documents = {key: text for key, text in texts.items() if key[0] == "d"}
    collection = Judged("one", "retrieval", queries=queries, documents=documents, judgements=best)
    plain = lambda given, side, task: np.stack([of[text] for text in given])  # noqa: E731
    return Retrieval(depth=100).judge(form.search(plain, "retrieval"), collection)[0]["ndcg@10"]


def test_a_shortlist_of_all_documents_ranks_them_all_and_a_short_one_loses_what_bits_do_not_find(fitted):
    vectors, questions = drawn(TEXTS, 2), drawn(60, 3)
    score = {}
    for number in (3, 40, TEXTS):
        for ranked in (False, True):
            form = Shortlist(number=number, bytes=ranked)
            form.fit(drawn(TRAIN, 1))
            score[number, ranked] = judged(form, vectors, questions)
    assert score[TEXTS, True] > 0.97
    assert score[TEXTS, True] >= score[40, True] > score[3, True]
    assert score[40, True] > score[40, False]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Codec(factory="IVF16,PQ8", seed=0), "factory names how a vector is stored"),
        (lambda: Codec(factory="PQ5", seed=0).fit(drawn(TRAIN, 1)), "faiss has no PQ5 of vectors of 32 numbers"),
        (lambda: Codec(factory="PQ8", seed=0).fit(drawn(255, 1)), "learns from 256 train texts or more, got 255"),
        (lambda: LearnedBits(bits=12), "bits must be a multiple of 8, got 12"),
        (lambda: LearnedBits(bits=40).fit(drawn(TRAIN, 1)), "bits is 40, but vectors have 32 numbers"),
        (lambda: LearnedBits(bits=24).fit(drawn(30, 1)), "needs more train texts than that, got 30"),
        (lambda: Shortlist(number=0, bytes=True), "number must be 1 or more"),
    ],
)
def test_what_cannot_be_is_said(made, told):
    with pytest.raises(ValueError, match=told):
        made()
