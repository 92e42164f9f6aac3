import pytest
import torch

from pipeline.pooling.weighted_mean import WeightedMean

HIDDEN = torch.tensor([[[1.0], [2.0], [4.0]], [[1.0], [2.0], [4.0]], [[1.0], [2.0], [4.0]]])


def test_a_token_counts_as_its_position_and_keeps_it_where_others_are_left_out():
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1]])
    found = WeightedMean()(HIDDEN, mask)[:, 0].tolist()
    assert found == pytest.approx([(1 + 2 * 2 + 3 * 4) / 6, (1 + 2 * 2) / 3, (2 * 2 + 3 * 4) / 5])


def test_sums_are_made_in_single_precision_and_the_type_is_kept():
    hidden = torch.full((1, 2000, 1), 0.3, dtype=torch.bfloat16)
    found = WeightedMean()(hidden, torch.ones(1, 2000, dtype=torch.long))
    assert found.dtype == torch.bfloat16
    assert found.item() == hidden[0, 0, 0].item()
