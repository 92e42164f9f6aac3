"""DupMAE against loops over places and words, and what its decoder can see."""

import math

import pytest
import torch

from pipeline.pretext.dupmae import Decoder, DupMAE, seen_by, waves, word_cost
from pipeline.pretext.masked import NOT_ASKED
from pipeline.training.optimizer import adamw

TEXTS = ["the cat sat on a mat", "a dog ran in the park", "rolling window over rows", "sum of all numbers", "the the the cat"]
SETTINGS = {"hidden_share": 0.5, "bow": 0.1, "vector": "cls", "heads": 2, "foreign": False}


def made(tiny_encoder, *, chunk_tokens=1000, **changes):
    encoder = tiny_encoder(dropout=0.0)
    pretext = DupMAE(share=0.3, batch_size=5, **SETTINGS | changes)
    data = pretext.batches(encoder.token_ids(TEXTS, 12), encoder, steps=4, seed=0, where="pretrain-x")
    torch.manual_seed(1)
    module = pretext.module(
        encoder, optimizer=lambda *weights: adamw(*weights, lr=0.1, weight_decay=0.0, betas=[0.9, 0.999], layer_decay=1.0),
        steps=4, warmup_steps=0, seed=0, chunk_tokens=chunk_tokens, kept_tokens=0, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip
    return module, data


def decoder(width=8):
    torch.manual_seed(0)
    return Decoder(width, 2).double()


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_place_never_sees_its_own_token():
    """With the vector held fixed, another token at place i leaves what is told at i to the bit, and moves what others tell."""
    vector, tokens = drawn(1, 8), drawn(1, 6, 8, seed=1)
    mask, special = torch.ones(1, 6, dtype=torch.int64), torch.tensor([[True, *[False] * 4, True]])
    seen = seen_by(mask, special, torch.ones(1, 6, 6), 0.5)  # nothing is hidden by chance
    plain = decoder()(vector, tokens, seen)
    for i in range(1, 6):
        other = tokens.clone()
        other[0, i] += drawn(8, seed=2)  # a norm takes away what all numbers have in common
        found = decoder()(vector, other, seen)
        assert torch.equal(found[0, i], plain[0, i])
        assert all(not torch.allclose(found[0, j], plain[0, j]) for j in range(1, 6) if j != i)
    moved = decoder()(vector + drawn(8, seed=3), tokens, seen)
    assert not torch.isclose(moved, plain).all(-1).any()  # all read the vector


def test_what_is_seen_is_the_vector_special_tokens_and_a_share_of_the_rest():
    mask = torch.tensor([[1] * 40 + [0] * 5])
    special = torch.zeros(1, 45, dtype=torch.bool)
    special[0, [0, 39]] = True
    draw = torch.rand(1, 45, 45, generator=torch.Generator().manual_seed(0))
    seen = seen_by(mask, special, draw, 0.5)[0]
    for i in range(45):
        for j in range(45):
            expected = j == 0 or (j != i and j < 40 and (j == 39 or bool(draw[0, i, j] >= 0.5)))
            assert bool(seen[i, j]) == expected, (i, j)
    assert 0.4 < seen[1:39, 1:39].float().mean() < 0.6


def test_the_bag_of_words_is_told_by_the_highest_score_of_each_word_at_ordinary_tokens():
    score = drawn(2, 5, 7)
    ids = torch.tensor([[0, 3, 3, 5, 1], [0, 2, 1, 6, 6]])
    ordinary = torch.tensor([[False, True, True, True, False], [False, True, False, False, False]])
    found = word_cost(score, ordinary, ids)
    for b in range(2):
        places = [i for i in range(5) if ordinary[b, i]]
        highest = [max(score[b, i, v].item() for i in places) for v in range(7)]
        whole = math.log(sum(map(math.exp, highest)))
        words = {int(ids[b, i]) for i in places}
        assert found[b].item() == pytest.approx(sum(whole - highest[v] for v in words) / len(places), rel=1e-9)


def test_places_differ_and_no_text_is_too_long():
    found = waves(300, 16).double()
    assert found.shape == (300, 16)
    assert torch.cdist(found, found).fill_diagonal_(9).min() > 0.1
    assert found[7, 3].item() == pytest.approx(math.cos(7 * 10_000 ** (-2 / 16)))


def costs_by_hand(module, data, number, bow):
    """One text at a time, without padding."""
    batch, encoder = data.batch(number), module.encoder
    own, told, bag, num_asked, num_told = [], [], [], 0, 0
    for i, (given, asked) in enumerate(zip(batch.given, batch.asked, strict=True)):
        true = torch.where(asked == NOT_ASKED, given, asked)
        size, special = len(true), set(encoder.tokenizer.all_special_ids)
        hidden = encoder.backbone(input_ids=given[None], attention_mask=torch.ones(1, size)).last_hidden_state
        scores = module.answers(hidden[0], encoder.table).log_softmax(-1)
        ordinary = [p for p in range(size) if int(true[p]) not in special]
        own += [-scores[p, true[p]] for p in range(size) if asked[p] != NOT_ASKED]
        draw = torch.rand(size, size, generator=torch.Generator().manual_seed(number * 1_000_003 + i))
        seen = torch.tensor(
            [[q == 0 or (q != p and (q not in ordinary or bool(draw[p, q] >= 0.5))) for q in range(size)] for p in range(size)]
        )
        read = module.decoder(hidden[:, 0], encoder.table[true][None], seen[None])
        back = module.answers(read[0], encoder.table).log_softmax(-1)
        told += [-back[p, true[p]] for p in ordinary]
        highest = module.answers(hidden[0, ordinary], encoder.table).amax(0).log_softmax(-1)
        bag.append(-sum(highest[v] for v in {int(true[p]) for p in ordinary}) / len(ordinary))
        num_asked, num_told = num_asked + int((asked != NOT_ASKED).sum()), num_told + len(ordinary)
    return sum(own) / max(1, num_asked) + sum(told) / num_told + bow * sum(bag) / len(bag)


@pytest.mark.parametrize("bow", [0.1, 0.0])
@pytest.mark.parametrize("chunk_tokens", [1000, 16])
def test_loss_and_gradients_are_those_of_one_text_after_the_other_in_any_chunks(tiny_encoder, chunk_tokens, bow):
    module, data = made(tiny_encoder, chunk_tokens=chunk_tokens, bow=bow)
    for number in range(2):
        expected, found = costs_by_hand(module, data, number, bow), module.loss(data.batch(number))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        gradients = [
            torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True) for loss in (found, expected)
        ]
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_every_part_learns_and_the_vector_gets_a_gradient_by_the_decoder_alone(tiny_encoder):
    module, data = made(tiny_encoder)
    module.loss(data.batch(0)).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in module.decoder.parameters())
    module.zero_grad()
    hidden = torch.randn(2, 6, 16, requires_grad=True)
    mask = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    module._vectors(hidden, mask).sum().backward()
    assert hidden.grad[:, 0].all()
    assert not hidden.grad[:, 1:].any()


def test_the_mean_is_over_the_text_and_the_control_reads_another_text(tiny_encoder):
    hidden = torch.randn(3, 4, 16)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    mean = torch.stack([hidden[b, : int(mask[b].sum())].mean(0) for b in range(3)])
    torch.testing.assert_close(made(tiny_encoder, vector="mean")[0]._vectors(hidden, mask), mean)
    foreign = made(tiny_encoder, vector="mean", foreign=True)[0]._vectors(hidden, mask)
    torch.testing.assert_close(foreign, mean[[2, 0, 1]])


def test_heads_that_do_not_divide_the_width_are_refused(tiny_encoder):
    with pytest.raises(ValueError, match="width 16 is no multiple of 3 heads"):
        made(tiny_encoder, heads=3)
