import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import Qwen3Config, Qwen3Model

from pipeline.encoder.directory import assembled
from pipeline.encoder.encoder import Encoder
from pipeline.form.token_prepending import TokenPrepending, blocks_of, prepended, vectors

TEXTS = ["the cat sat on a mat", "a dog", "rolling window over rows sum of all numbers"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    """A decoder of four layers, whose vector is its last token's."""
    tokenizer = tiny_encoder().tokenizer
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        intermediate_size=32, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    made = assembled(Qwen3Model(config), tokenizer)
    made[1] = Pooling(16, "lasttoken")
    encoder = Encoder(made, max_length_tokens=32)
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.3) if weight.ndim > 1 else None
    return encoder.eval()


def plain_of(encoder):
    return lambda texts, side, task: encoder.encode(texts, max_length_tokens=32, batch_tokens=200, title="", unit=True)


def early(encoder, text, start, exit):
    """States of the tokens behind the placeholder but for the last two (word and special token), behind layer ``exit``."""
    (ids,) = encoder.token_ids([text], None)
    given, mask = encoder.padded([[encoder.pad_id, *ids]])
    with torch.no_grad(), prepended(blocks_of(encoder)[start:exit], mask.sum(1) - 1):
        return encoder.backbone(input_ids=given, attention_mask=mask, output_hidden_states=True).hidden_states[3][0, 1:-2]


def test_early_words_know_the_last_one_with_it_and_provably_not_without(encoder):
    pair = ["the cat sat on a mat", "the cat sat on a park"]
    without = [early(encoder, text, 1, 1) for text in pair]
    assert torch.equal(*without)
    with_it = [early(encoder, text, 1, 3) for text in pair]
    assert (with_it[0] - with_it[1]).abs().amax(1).min() > 1e-4


def test_a_batch_gives_what_each_text_gives_alone_and_weights_stay(encoder):
    before = {name: weight.clone() for name, weight in encoder.named_parameters()}
    form = TokenPrepending(start=1, exit=3)
    encode = form.make(encoder, None, plain_of(encoder), max_length_tokens=32)
    together = encode(TEXTS, "document", "sts")
    for text, found in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(found, encode([text], "document", "sts")[0], atol=1e-5)
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.named_parameters())
    assert not any(layer._forward_pre_hooks for layer in blocks_of(encoder))
    assert np.abs(together - plain_of(encoder)(TEXTS, "", "")).max() > 1e-3


def test_no_layers_are_the_model_itself(encoder):
    encode = TokenPrepending(start=2, exit=2).make(encoder, None, plain_of(encoder), max_length_tokens=32)
    assert np.array_equal(encode(TEXTS, "document", "sts"), plain_of(encoder)(TEXTS, "", ""))


def test_the_state_of_another_text_gives_another_vector(encoder):
    """The control: what is shown is the text's own."""
    ids = encoder.token_ids(TEXTS, None)
    own = vectors(encoder, ids, 1, 3)
    given, mask = encoder.padded([[~encoder.pad_id, *row] for row in ids])
    for last in (mask.sum(1) - 1, mask.sum(1) - 2):
        with torch.no_grad(), prepended(blocks_of(encoder)[1:3], last):
            found = encoder.unit(encoder(given, mask))
        assert torch.allclose(found, own, atol=1e-6) == bool((last == mask.sum(1) - 1).all())


def test_more_layers_than_there_are_and_a_wrong_order_are_refused(encoder):
    with pytest.raises(ValueError, match="exit is 5, but Qwen3Model has 4 layers"):
        TokenPrepending(start=1, exit=5).make(encoder, None, plain_of(encoder), max_length_tokens=32)
    with pytest.raises(ValueError, match="expected 0 <= start <= exit, got 3 and 1"):
        TokenPrepending(start=3, exit=1)
