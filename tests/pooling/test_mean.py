import torch

from pipeline.pooling.mean import Mean


def test_the_mean_is_over_text_and_not_over_padding():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert Mean()(hidden, mask).tolist() == [[2.0, 3.0], [7.0, 8.0]]


def test_a_text_that_is_all_padding_gives_zero_and_no_nan():
    assert Mean()(torch.ones(1, 3, 2), torch.zeros(1, 3, dtype=torch.long)).tolist() == [[0.0, 0.0]]


def test_the_type_of_the_hidden_states_is_kept():
    assert Mean()(torch.ones(1, 3, 2, dtype=torch.bfloat16), torch.ones(1, 3, dtype=torch.long)).dtype == torch.bfloat16
