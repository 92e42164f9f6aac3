import torch

from pipeline.pooling.last import Last

HIDDEN = torch.arange(12.0).reshape(2, 3, 2)


def test_the_last_token_of_the_text_stands_for_it_and_padding_does_not():
    assert Last()(HIDDEN, torch.tensor([[1, 1, 0], [1, 1, 1]])).tolist() == [[2.0, 3.0], [10.0, 11.0]]


def test_a_text_of_which_no_token_counts_gives_zero():
    assert Last()(HIDDEN, torch.tensor([[0, 0, 0], [0, 1, 0]])).tolist() == [[0.0, 0.0], [8.0, 9.0]]
