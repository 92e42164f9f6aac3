"""Reading back: which sentences follow which, what the decoder sees, and the loss one text after the other."""

import math

import pytest
import torch

from pipeline.pretext.next_sentence import NextSentence, Teller
from pipeline.training.optimizer import adamw

TEXTS = ["The cat sat. A dog ran!  Rows of all numbers", "the park", "A dog ran! The cat sat.", "sum of rows\n\nover all rows"]
SETTINGS = {"target": "next", "deleted": 0.0, "dropout": 0.0, "layers": 1, "heads": 2, "shuffled": False, "batch_size": 2}


def made(tiny_encoder, texts=TEXTS, *, chunk_tokens=1000, steps=4, **changes):
    encoder, pretext = tiny_encoder(dropout=0.0), NextSentence(**SETTINGS | changes)
    ids = encoder.token_ids(pretext.pieces(texts), 12)
    data = pretext.batches(ids, encoder, steps=steps, seed=0, where="pretrain-x")
    torch.manual_seed(1)
    module = pretext.module(
        encoder, optimizer=lambda *weights: adamw(*weights, lr=0.1, weight_decay=0.0, betas=[0.9, 0.999], layer_decay=1.0),
        steps=steps, warmup_steps=0, seed=0, chunk_tokens=chunk_tokens, kept_tokens=0, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip
    return module, data


def test_each_sentence_is_asked_for_the_next_of_its_text_and_none_across_texts(tiny_encoder):
    _, data = made(tiny_encoder)
    decode = tiny_encoder().tokenizer.decode
    shown = {tuple(decode(data.ids[i], skip_special_tokens=True) for i in pair) for pair in data.pairs}
    first, second, third = "the cat sat [UNK]", "a dog ran [UNK]", "rows of all numbers"
    plain = {tuple(part.replace("[UNK]", "").strip(" .!") for part in pair) for pair in shown}
    names = [part.replace("[UNK]", "").strip(" .!") for part in (first, second, third)]
    assert plain == {(names[0], names[1]), (names[1], names[2]), (names[1], names[0]), ("sum of rows", "over all rows")}


def test_in_the_control_the_same_sentences_are_asked_of_others(tiny_encoder):
    (_, plain), (_, control) = made(tiny_encoder), made(tiny_encoder, shuffled=True)
    assert [one for one, _ in plain.pairs] == [one for one, _ in control.pairs]
    assert sorted(other for _, other in plain.pairs) == sorted(other for _, other in control.pairs)
    assert plain.pairs != control.pairs


def test_a_place_has_read_the_vector_and_the_tokens_before_it():
    torch.manual_seed(0)
    teller = Teller(6, 8, layers=2, heads=2).double().eval()
    vector, told = torch.randn(1, 6).double(), torch.randn(1, 4, 8).double()
    plain = teller(vector, told)
    assert plain.shape == (1, 5, 8)
    for i in range(4):
        other = told.clone()
        other[0, i] += 2.0
        found = teller(vector, other)
        assert torch.equal(found[0, : i + 1], plain[0, : i + 1])
        assert not torch.isclose(found[0, i + 1 :], plain[0, i + 1 :]).all(-1).any()
    assert not torch.isclose(teller(vector + 1.0, told), plain).all(-1).any()


@pytest.mark.parametrize("changes", [{}, {"target": "same"}, {"target": "same", "deleted": 0.6}])
@pytest.mark.parametrize("chunk_tokens", [1000, 26])
def test_loss_and_gradients_are_those_of_one_text_after_the_other_in_any_chunks(tiny_encoder, changes, chunk_tokens):
    module, data = made(tiny_encoder, chunk_tokens=chunk_tokens, **changes)
    batch, encoder = data.batch(1), module.encoder
    costs = []
    for given, wanted in zip(batch.given, batch.wanted, strict=True):
        vector = encoder(given[None], torch.ones(1, len(given), dtype=torch.int64))
        for place, token in enumerate(wanted.tolist()):
            hidden = module.teller(vector, encoder.table[wanted[:place]][None])[0, -1]
            costs.append(-module.answers(hidden[None], encoder.table)[0].log_softmax(-1)[token])
    found, expected = module.loss(batch), torch.stack(costs).mean()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    gradients = [torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True) for loss in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_share_of_the_tokens_is_deleted_anew_at_each_step_and_something_stays(tiny_encoder):
    texts = [" ".join(["cat", "dog", "mat", "park", "sat", "rows"]), "the", "sum of all numbers"]
    _, data = made(tiny_encoder, texts, target="same", deleted=0.6, batch_size=3, steps=400)
    kept = {row: [] for row in range(3)}
    for batch in data:
        for row, given, wanted in zip(data.batches[batch.number], batch.given, batch.wanted, strict=True):
            whole = data.ids[row]
            assert given[0] == whole[0]
            assert given[-1] == whole[-1]  # [CLS] and [SEP]
            assert wanted.tolist() == list(whole[1:])
            kept[row].append(len(given) - 2)
    assert min(kept[1]) == 1  # the only word
    assert sum(kept[0]) / 400 / (len(data.ids[0]) - 2) == pytest.approx(0.4, abs=0.03)
    assert min(kept[0]) == 1


def test_a_resumed_plan_goes_on(tiny_encoder):
    whole = list(made(tiny_encoder, target="same", deleted=0.6)[1])
    _, again = made(tiny_encoder, target="same", deleted=0.6)
    again.load_state_dict({"given": 2})
    rest = list(again)
    assert [batch.number for batch in rest] == [2, 3]
    assert all(torch.equal(a, b) for a, b in zip(rest[0].given, whole[2].given, strict=True))


def test_an_encoder_learns_to_hold_its_text(tiny_encoder):
    """Four texts of one word each: told from the vector, where their frequencies give log 4 for the word."""
    texts = ["cat", "dog", "mat", "park"]
    module, data = made(tiny_encoder, texts, target="same", batch_size=4, steps=200)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.004)
    for batch in data:
        optimizer.zero_grad()
        loss = module.loss(batch)
        loss.backward()
        optimizer.step()
    assert loss.item() < math.log(4) / 4  # two tokens are told: the word and the end


def test_too_few_texts_and_heads_that_do_not_fit_are_told(tiny_encoder):
    with pytest.raises(ValueError, match="pretrain-x: a batch of 2 texts, but there are 0 to learn from"):
        made(tiny_encoder, ["the park"])
    with pytest.raises(ValueError, match="width 16 is no multiple of 3 heads"):
        made(tiny_encoder, heads=3)
