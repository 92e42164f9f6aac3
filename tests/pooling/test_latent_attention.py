import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.pooling.latent_attention import LatentAttention


def made(*, latents=7, heads=2, width=8, trained=True):
    torch.manual_seed(0)
    pooling = LatentAttention(width, latents=latents, heads=heads)
    if trained:
        for weight in pooling.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    return pooling.double()


def by_hand(pooling, hidden, mask):
    """Section 3.1 of arXiv:2405.17428, one text, token and head at a time."""
    width, heads = hidden.shape[-1], pooling.heads
    size = width // heads
    latent = pooling.latent_norm(pooling.latents)
    key, value = (latent @ w.T for w in pooling.to_key_value.weight.split(width))
    vectors = []
    for text, counts in zip(hidden, mask.tolist(), strict=True):
        tokens = []
        for token in text[: sum(counts)]:
            query = pooling.to_query.weight @ pooling.hidden_norm(token)
            read = []
            for h in range(heads):
                part = slice(h * size, (h + 1) * size)
                attention = torch.softmax(key[:, part] @ query[part] / math.sqrt(size), 0)
                read.append(attention @ value[:, part])
            token = token + pooling.to_out.weight @ torch.cat(read)
            inner, gate = pooling.widen(pooling.inner_norm(token)).split(4 * width)
            tokens.append(token + pooling.narrow(inner * F.gelu(gate)))
        vectors.append(torch.stack(tokens).mean(0))
    return torch.stack(vectors)


@pytest.fixture
def texts():
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    return torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(1)).double(), mask


def test_the_vector_is_that_of_a_loop_over_tokens_and_heads(texts):
    torch.testing.assert_close(made().pooled(*texts), by_hand(made(), *texts), rtol=1e-10, atol=1e-10)


def test_it_starts_as_the_mean(texts):
    mean = torch.stack([hidden[: int(mask.sum())].mean(0) for hidden, mask in zip(*texts, strict=True)])
    torch.testing.assert_close(made(trained=False).pooled(*texts), mean)


def test_the_order_of_the_latents_makes_no_difference(texts):
    pooling = made()
    expected = pooling.pooled(*texts)
    pooling.latents.data = pooling.latents.data.flip(0)
    torch.testing.assert_close(pooling.pooled(*texts), expected)


def test_every_weight_learns(texts):
    pooling = made()
    pooling.pooled(*texts)[:, 0].sum().backward()
    assert all(weight.grad.any() for weight in pooling.parameters())


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="the backbone's width 8 is no multiple of 3 heads"):
        made(heads=3)
    with pytest.raises(ValueError, match="latents and heads must be positive, got 0 and 2"):
        LatentAttention(8, latents=0, heads=2)


def test_a_prompt_is_left_out_behind_padding_at_either_side(texts):
    hidden, _ = texts
    pooling = made()
    pooling.include_prompt = False
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1]])
    found = pooling({"token_embeddings": hidden, "attention_mask": mask, "prompt_length": 2})["sentence_embedding"]
    left = torch.tensor([[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 1]])
    torch.testing.assert_close(found, pooling.pooled(hidden, left))
