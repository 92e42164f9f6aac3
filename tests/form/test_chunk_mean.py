import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from pipeline.form.chunk_mean import ChunkMean, pieces, windows
from pipeline.form.stored import unit

WORDS = ["the", "cat", "sat", "on", "a", "mat", "a", "dog", "ran", "in", "the", "park"]


def plain_of(encoder):
    return lambda texts, side, task: encoder.encode(
        texts, max_length_tokens=12, batch_tokens=200, title="", task=task, side=side, unit=True
    )


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, [(0, 0)]), (5, [(0, 5)]), (6, [(0, 5), (1, 6)]), (10, [(0, 5), (5, 10)]), (12, [(0, 5), (5, 10), (7, 12)])],
)
def test_pieces_follow_one_another_and_the_last_reaches_back(number, expected):
    assert windows(number, 5) == expected


def test_a_text_that_fits_is_read_as_ever_and_a_long_one_is_the_mean_of_its_pieces(tiny_encoder):
    encoder = tiny_encoder(max_length_tokens=12)
    long = " ".join(WORDS * 2)  # 24 words of one token each, 10 beside the special tokens
    found = ChunkMean().make(encoder, None, plain_of(encoder), max_length_tokens=12)(
        ["a dog", long, ""], "document", "retrieval"
    )
    expected = plain_of(encoder)(
        ["a dog", " ".join((WORDS * 2)[:10]), " ".join((WORDS * 2)[10:20]), " ".join((WORDS * 2)[14:]), ""], "", ""
    )
    np.testing.assert_allclose(found[[0, 2]], expected[[0, 4]], atol=1e-6)
    np.testing.assert_allclose(found[1], unit(expected[1:4].mean(0)[None])[0], atol=1e-6)


def test_what_stands_behind_the_limit_is_read_and_a_prompt_takes_its_room(tiny_encoder):
    encoder = tiny_encoder(max_length_tokens=12)
    encode = ChunkMean().make(encoder, None, plain_of(encoder), max_length_tokens=12)
    texts = [" ".join([*WORDS, last]) for last in ("rows", "numbers")]
    cut, read = plain_of(encoder)(texts, "document", "retrieval"), encode(texts, "document", "retrieval")
    assert np.array_equal(cut[0], cut[1])
    assert np.abs(read[0] - read[1]).max() > 1e-4
    encoder.prompts = {"pooled": True, "texts": {"retrieval": {"query": "sum of all "}}}
    seven = [" ".join(WORDS[start : start + 7]) for start in (0, 5)]
    expected = unit(plain_of(encoder)(seven, "query", "retrieval").mean(0)[None])[0]
    np.testing.assert_allclose(encode([" ".join(WORDS)], "query", "retrieval")[0], expected, atol=1e-6)


def test_what_the_card_says_how_to_use_it_gives_those_vectors(tiny_encoder, tmp_path):
    encoder = tiny_encoder(max_length_tokens=12)
    encoder.save(tmp_path)
    for text in ("a dog", " ".join(WORDS * 2)):
        names = {"text": text}
        exec(ChunkMean.use.format(path=tmp_path, max_length_tokens=12), names)  # noqa: S102  our own text
        (expected,) = ChunkMean().make(encoder, None, plain_of(encoder), max_length_tokens=12)([text], "document", "retrieval")
        np.testing.assert_allclose(names["vector"], expected, atol=1e-5)
    assert isinstance(names["model"], SentenceTransformer)
    assert pieces(encoder, "a dog", 2) == ["a dog"]
