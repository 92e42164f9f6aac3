import torch

from pipeline.pooling.cls import Cls


def test_the_first_token_stands_for_the_text():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    assert Cls()(hidden, torch.tensor([[1, 1], [1, 0]])).tolist() == [[1.0, 2.0], [5.0, 6.0]]


def test_the_first_token_is_the_first_that_counts():
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    assert Cls()(hidden, torch.tensor([[0, 1, 1], [0, 0, 1]])).tolist() == [[2.0, 3.0], [10.0, 11.0]]
