import pytest
import torch

from pipeline.merging.ties import Ties, elected_mean


def slow(deltas, kept):
    out = []
    for column in zip(
        *[[d if k else 0.0 for d, k in zip(ds, ks, strict=True)] for ds, ks in zip(deltas, kept, strict=True)], strict=True
    ):
        sign = 1 if sum(column) >= 0 else -1
        agree = [value for value in column if value * sign > 0]
        out.append(sum(agree) / len(agree) if agree else 0.0)
    return out


def test_values_that_disagree_with_the_elected_sign_are_left_out():
    deltas = torch.tensor([[3.0, -1.0, 2.0, 0.0], [-1.0, -3.0, -2.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    assert elected_mean(deltas).tolist() == [3.0, -2.0, 2.0, 0.0]


@pytest.mark.parametrize("scope", ["tensor", "model"])
@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_the_largest_stay_within_their_tensor_or_the_whole_model(state, merged, scope, density):
    base, experts = state(0), [state(k) for k in (1, 2, 3)]
    deltas = [{n: e[n] - base[n] for n in base} for e in experts]
    found = merged(Ties(density=density, norm=0.7, scope=scope), base, experts)
    for name in base:
        kept = []
        for one in deltas:
            pool = one[name].flatten() if scope == "tensor" else torch.cat([v.flatten() for v in one.values()])
            smallest = pool.abs().sort(descending=True).values[max(1, int(density * len(pool))) - 1]
            kept.append((one[name].flatten().abs() >= smallest).tolist())
        expected = slow([one[name].flatten().tolist() for one in deltas], kept)
        torch.testing.assert_close(
            found[name].flatten(), base[name].flatten() + 0.7 * torch.tensor(expected), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("density", [0.0, 1.1])
def test_a_density_out_of_range_is_refused(density):
    with pytest.raises(ValueError, match=r"conf/merging/ties.yaml"):
        Ties(density=density, norm=1.0, scope="tensor")
