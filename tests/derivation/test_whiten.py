"""Whitened vectors have covariance 1 where the map was fitted, and the directory gives them to every loader."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from pipeline.checkpoint import sha256
from pipeline.corpus.train_texts import Text
from pipeline.derivation.whiten import Whiten, whitening
from pipeline.encoder.encoder import Encoder

CLOSE = 1e-5  # float32 in batches of other shapes


def drawn(number=200, width=6, seed=0):
    """Correlated vectors with a mean far from 0."""
    random = np.random.default_rng(seed)
    return random.normal(size=(number, width)) @ random.normal(size=(width, width)) + random.normal(size=width)


def whiten(**values):
    return Whiten(**{"dims": None, "texts": 1000, "max_length_tokens": None, "seed": 0} | values)


@pytest.mark.parametrize("dims", [None, 6, 3, 1])
def test_fitted_vectors_come_to_mean_0_and_covariance_1(dims):
    vectors = drawn()
    weight, bias, _ = whitening(vectors, dims)
    found = vectors @ weight.T + bias
    assert found.shape == (200, dims or 6)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.atleast_2d(np.cov(found.T)), np.eye(dims or 6), atol=1e-6)


def test_kept_directions_are_the_principal_components_of_most_variance():
    """By the singular vectors of the centred data, another road than the covariance."""
    vectors = drawn()
    weight, _, share = whitening(vectors, 2)
    _, singular, directions = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    expected = directions[:2] / (singular[:2, None] / np.sqrt(199))
    np.testing.assert_allclose(np.abs(weight), np.abs(expected), atol=1e-9)
    assert share == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum())


def test_of_the_two_signs_of_a_direction_the_one_with_the_largest_number_above_0_is_taken():
    weight, _, _ = whitening(drawn(), None)
    assert (weight[np.arange(6), np.abs(weight).argmax(1)] > 0).all()


def test_a_direction_that_does_not_vary_is_left_out_and_cannot_be_asked_for():
    vectors = drawn()
    vectors[:, 5] = vectors[:, :5].sum(1)
    weight, bias, _ = whitening(vectors, None)
    assert weight.shape == (5, 6)
    np.testing.assert_allclose(np.cov((vectors @ weight.T + bias).T), np.eye(5), atol=1e-6)
    with pytest.raises(ValueError, match="dims must be from 1 to 5, the directions in which vectors of 6 numbers vary"):
        whitening(vectors, 6)


def test_as_many_texts_as_numbers_are_too_few():
    whitening(drawn(number=7), None)
    with pytest.raises(ValueError, match=r"more texts than a vector has numbers \(6\), got 6"):
        whitening(drawn(number=6), None)


@pytest.mark.parametrize("behind", [[Normalize()], [Dense(16, 12)], [Dense(16, 12), Normalize()]])
def test_the_directory_gives_whitened_vectors_at_unit_length_in_every_loader(model_of, texts, tmp_path, behind):
    source = model_of("Bert", *behind)
    plain = Encoder.load(source)
    encoder = Encoder.load(source)
    facts = whiten(dims=4).derive(encoder, texts, batch_tokens=60)
    encoder.save(tmp_path / "white")
    every = sorted({one.text for one in texts})
    if plain.normalizes:
        del plain.model[-1]
    raw = plain.encode(every, max_length_tokens=64, batch_tokens=60, title="").astype(np.float64)
    assert facts["texts"] == len(every)
    weight, bias, share = whitening(raw, 4)
    assert facts["variance_kept"] == pytest.approx(share)
    expected = raw @ weight.T + bias
    np.testing.assert_allclose(np.cov(expected.T), np.eye(4), atol=1e-6)
    lengths = np.linalg.norm(expected, axis=1)
    far = lengths > 1  # of 2 on the mean; a vector near the mean of all has a direction of rounding
    assert far.mean() > 0.8
    every, expected = [text for text, kept in zip(every, far, strict=True) if kept], expected[far] / lengths[far, None]
    ours = Encoder.load(tmp_path / "white").encode(every, max_length_tokens=64, batch_tokens=60, title="")
    theirs = SentenceTransformer(str(tmp_path / "white"), device="cpu").encode(every, show_progress_bar=False)
    np.testing.assert_allclose(ours, expected, atol=CLOSE, rtol=0)
    np.testing.assert_allclose(theirs, ours, atol=CLOSE, rtol=0)
    assert (facts["dims"], ours.shape[1]) == (4, 4)


def test_prompts_are_read_as_in_evaluation_and_kept(model_of, texts, tmp_path):
    source = model_of("Bert", prompts={"query": "sum of ", "document": ""})
    encoder = Encoder.load(source)
    facts = whiten(dims=8).derive(encoder, texts, batch_tokens=60)
    assert facts["texts"] == len({("sum of " if one.side == "query" else "", one.text) for one in texts})
    encoder.save(tmp_path / "white")
    peer = SentenceTransformer(str(tmp_path / "white"), device="cpu")
    theirs = peer.encode_query(["a dog ran"], show_progress_bar=False)
    limits = {"max_length_tokens": 64, "batch_tokens": 60, "title": "", "task": "retrieval", "side": "query"}
    np.testing.assert_allclose(Encoder.load(tmp_path / "white").encode(["a dog ran"], **limits), theirs, atol=CLOSE, rtol=0)


def test_texts_are_drawn_by_seed_whatever_their_order(model_of, texts, tmp_path):
    source, found = model_of("Bert"), []
    for name, given, seed in (("one", texts, 0), ("two", texts[::-1], 0), ("other", texts, 1)):
        encoder = Encoder.load(source)
        assert whiten(dims=4, texts=40, seed=seed).derive(encoder, given, batch_tokens=60)["texts"] == 40
        encoder.save(tmp_path / name)
        found.append(sha256(tmp_path / name))
    assert found[0] == found[1] != found[2]


def test_fewer_texts_than_numbers_are_refused(model_of, texts):
    with pytest.raises(ValueError, match=r"more texts than a vector has numbers \(16\), got 16"):
        whiten(texts=16).derive(Encoder.load(model_of("Bert")), texts, batch_tokens=60)
    with pytest.raises(ValueError, match="got 0"):
        whiten().derive(Encoder.load(model_of("Bert")), list[Text](), batch_tokens=60)
