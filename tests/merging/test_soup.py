import pytest
import torch

from pipeline.merging.soup import Soup

ROUNDING = {"atol": 1e-6, "rtol": 0}  # values near 1 in float32, and a handful of sums


def test_the_soup_is_the_mean_of_the_experts(state, merged):
    experts = [state(k) for k in (1, 2, 3)]
    for name, value in merged(Soup(weights=[]), state(0), experts).items():
        torch.testing.assert_close(value, sum(one[name] for one in experts) / 3, **ROUNDING)


def test_weights_count_by_their_sum(state, merged):
    for name, value in merged(Soup(weights=[3.0, 1.0]), state(0), [state(1), state(2)]).items():
        torch.testing.assert_close(value, 0.75 * state(1)[name] + 0.25 * state(2)[name], **ROUNDING)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0]])
def test_weights_of_another_number_or_without_a_sum_are_refused(state, merged, weights):
    with pytest.raises(ValueError, match=r"conf/merging/soup.yaml"):
        merged(Soup(weights=weights), state(0), [state(1), state(2)])
