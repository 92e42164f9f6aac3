import numpy as np
import pytest

from pipeline.baseline.static import Static
from pipeline.corpus.collection import Pairs
from pipeline.evaluator.sts import Sts


@pytest.fixture
def static(tiny_encoder, tmp_path):
    encoder = tiny_encoder()
    encoder.save(tmp_path)
    return Static(directory=str(tmp_path)), encoder


def test_a_text_is_the_mean_of_its_tokens_rows_of_the_table(static):
    ours, encoder = static
    table = encoder.backbone.embeddings.word_embeddings.weight.detach().numpy()
    ids = [encoder.tokenizer.convert_tokens_to_ids(token) for token in encoder.tokenizer.tokenize("the cat sat")]
    expected = table[ids].mean(0)
    found = ours.encode(["the cat sat"], "query", "sts")
    np.testing.assert_allclose(found, [expected / np.linalg.norm(expected)], atol=1e-6)


def test_the_order_of_words_and_what_stands_beside_a_text_make_no_difference(static):
    ours, _ = static
    long = "the cat sat on a mat " * 20  # beyond where the encoder cuts
    found = ours.encode(["the cat sat on a mat", "mat a on sat cat the", long], "document", "retrieval")
    np.testing.assert_allclose(found[1:], np.stack([found[0], found[0]]), atol=1e-6)


def test_a_text_without_a_token_is_near_nothing(static):
    ours, _ = static
    assert not ours.encode([""], "query", "sts").any()


def test_every_task_is_answered(static):
    ours, _ = static
    pairs = [("0", "the cat", "the cat", 5.0), ("1", "the cat", "sum of all numbers", 0.0)]
    scores, items = ours.answer(Sts(), Pairs("x", "sts", pairs))
    assert items["cosine"][0] == pytest.approx(1)
    assert scores["spearman"] == pytest.approx(1)
