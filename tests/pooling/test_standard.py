"""What this project relies on in the poolings of sentence-transformers."""

import pytest
import torch

from pipeline.pooling.standard import standard

HIDDEN = torch.arange(12.0).reshape(2, 3, 2)


def pooled(mode, hidden, mask, **features):
    pooling = standard(hidden.shape[-1], mode=mode)
    pooling.include_prompt = "prompt_length" not in features
    return pooling({"token_embeddings": hidden, "attention_mask": torch.tensor(mask), **features})["sentence_embedding"]


def test_the_mean_is_over_text_and_not_over_padding():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]]])
    assert pooled("mean", hidden, [[1, 1, 0], [1, 1, 1]]).tolist() == [[2.0, 3.0], [7.0, 8.0]]


def test_a_text_that_is_all_padding_gives_zero_and_no_nan():
    assert pooled("mean", torch.ones(1, 3, 2), [[0, 0, 0]]).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("mode", ["mean", "weightedmean"])
def test_sums_are_made_in_single_precision_and_the_type_of_the_hidden_states_is_kept(mode):
    hidden = torch.full((1, 2000, 1), 0.3, dtype=torch.bfloat16)
    found = pooled(mode, hidden, [[1] * 2000])
    assert found.dtype == torch.bfloat16
    assert found.item() == hidden[0, 0, 0].item()


def test_the_first_token_stands_for_the_text():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    assert pooled("cls", hidden, [[1, 1], [1, 0]]).tolist() == [[1.0, 2.0], [5.0, 6.0]]


def test_the_first_token_is_the_first_that_counts():
    assert pooled("cls", HIDDEN, [[0, 1, 1], [0, 0, 1]]).tolist() == [[2.0, 3.0], [10.0, 11.0]]


def test_the_last_token_of_the_text_stands_for_it_and_padding_does_not():
    assert pooled("lasttoken", HIDDEN, [[1, 1, 0], [1, 1, 1]]).tolist() == [[2.0, 3.0], [10.0, 11.0]]


def test_a_text_of_which_no_token_counts_gives_zero():
    assert pooled("lasttoken", HIDDEN, [[0, 0, 0], [0, 1, 0]]).tolist() == [[0.0, 0.0], [8.0, 9.0]]


def test_a_token_counts_as_its_position_and_keeps_it_where_a_prompt_is_left_out():
    hidden = torch.tensor([[[1.0], [2.0], [4.0]]] * 2)
    assert pooled("weightedmean", hidden, [[1, 1, 1], [1, 1, 0]])[:, 0].tolist() == pytest.approx(
        [(1 + 2 * 2 + 3 * 4) / 6, (1 + 2 * 2) / 3]
    )
    found = pooled("weightedmean", hidden[:1], [[1, 1, 1]], prompt_length=1)
    assert found.item() == pytest.approx((2 * 2 + 3 * 4) / 5)


def test_a_pooling_that_nobody_has_is_refused():
    with pytest.raises(ValueError, match="Invalid pooling mode: 'median'"):
        standard(4, mode="median")
