"""The row of a token is the mean of its vectors over train texts; the vector of a text is the mean of its tokens' rows."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding

from pipeline.derivation.static import Static
from pipeline.encoder.encoder import Encoder

CLOSE = 1e-5  # float32 in batches of other shapes
UNSEEN = "cat"


def static(**values):
    return Static(**{"texts": 1000, "max_length_tokens": None, "seed": 0} | values)


def derived(source, target, train, **values):
    encoder = Encoder.load(source)
    facts = static(**values).derive(encoder, train, batch_tokens=60)
    encoder.save(target)
    return facts, encoder


def without(texts, word):
    return [one._replace(text=one.text.replace(word, "")) for one in texts]


def rows_of(source, texts, dense=None):
    """By token: the mean of its vectors, by transformers alone, one text at a time, each distinct (side, text) once."""
    transformer = SentenceTransformer(str(source), device="cpu")[0]
    model, words = transformer.model.eval(), transformer.tokenizer
    vectors: dict[int, list[np.ndarray]] = {}

    def read(ids):
        with torch.no_grad():
            return (
                model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)))
                .last_hidden_state[0]
                .double()
                .numpy()
            )

    for text in sorted({(one.side, one.text) for one in texts}):
        ids = words(text[1])["input_ids"]
        for token, vector in zip(ids, read(ids), strict=True):
            vectors.setdefault(token, []).append(vector)
    start, end = words("")["input_ids"]
    rows = [np.mean(vectors[i], 0) if i in vectors else read([start, i, end])[1] for i in range(model.config.vocab_size)]
    return np.stack(rows) if dense is None else np.stack(rows) @ dense.T


def expected_of(source, rows, given):
    """Of each text the mean of its tokens' rows, at unit length."""
    words = SentenceTransformer(str(source), device="cpu").tokenizer
    means = np.stack([rows[words(text, add_special_tokens=False)["input_ids"]].mean(0) for text in given])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["Bert", "MPNet", "ModernBert", "Qwen3"])
def test_every_loader_gives_the_mean_of_means_over_occurrences(model_of, texts, tmp_path, kind):
    source, train = model_of(kind), without(texts, UNSEEN)
    facts, encoder = derived(source, tmp_path / "table", train)
    given = [*sorted({one.text for one in texts})[:20], UNSEEN]
    expected = expected_of(source, rows_of(source, train), given)
    ours = Encoder.load(tmp_path / "table").encode(given, max_length_tokens=None, batch_tokens=60, title="")
    theirs = SentenceTransformer(str(tmp_path / "table"), device="cpu").encode(given, show_progress_bar=False)
    here = encoder.encode(given, max_length_tokens=None, batch_tokens=60, title="")
    for found in (ours, theirs, here):
        np.testing.assert_allclose(found, expected, atol=CLOSE, rtol=0)
    assert (facts["tokens"], facts["dims"]) == (32, 16)
    assert facts["seen"] == len({word for one in train for word in one.text.split()}) + 2  # and both special tokens


def test_a_projection_is_applied_to_the_rows(model_of, texts, tmp_path):
    source = model_of("Bert", Dense(16, 12, bias=False, activation_function=torch.nn.Identity()), Normalize())
    dense = SentenceTransformer(str(source), device="cpu")[2].linear.weight.detach().double().numpy()
    derived(source, tmp_path / "table", texts)
    given = [one.text for one in texts[:10]]
    theirs = SentenceTransformer(str(tmp_path / "table"), device="cpu").encode(given, show_progress_bar=False)
    np.testing.assert_allclose(theirs, expected_of(source, rows_of(source, texts, dense), given), atol=CLOSE, rtol=0)


def test_without_texts_each_token_is_read_alone(model_of, texts, tmp_path):
    source = model_of("Bert")
    facts, _ = derived(source, tmp_path / "table", texts, texts=0)
    assert (facts["texts"], facts["seen"]) == (0, 0)
    theirs = SentenceTransformer(str(tmp_path / "table"), device="cpu").encode(["mat dog"], show_progress_bar=False)
    np.testing.assert_allclose(theirs, expected_of(source, rows_of(source, []), ["mat dog"]), atol=CLOSE, rtol=0)


def test_prompts_are_gone_from_the_table(model_of, texts, tmp_path):
    source = model_of("Bert", prompts={"query": "sum of all ", "document": ""})
    derived(source, tmp_path / "table", texts)
    model = SentenceTransformer(str(tmp_path / "table"), device="cpu")
    plain, query = (model.encode("mat", show_progress_bar=False, prompt_name=name) for name in (None, "query"))
    np.testing.assert_array_equal(plain, query)


def test_a_table_is_refused(model_of, tmp_path, texts):
    words = SentenceTransformer(str(model_of("Bert")), device="cpu").tokenizer
    torch.manual_seed(0)
    table = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
    table.save(str(tmp_path / "table"), create_model_card=False)
    with pytest.raises(ValueError, match="it is a table already"):
        derived(tmp_path / "table", tmp_path / "again", texts)
    with pytest.raises(ValueError, match="texts must be 0"):
        static(texts=-1)
