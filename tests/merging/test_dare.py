import pytest
import torch

from pipeline.merging.dare import Dare, mask
from pipeline.merging.ties import elected_mean

SETTINGS = {"density": 0.5, "norm": 0.7, "sign": "sum", "rescale": "inverse", "seed": 0}


@pytest.mark.parametrize("rescale", ["inverse", "l1"])
@pytest.mark.parametrize("sign", ["sum", "mean", "elect"])
def test_what_stays_is_enlarged_and_joined(state, merged, sign, rescale):
    base, experts = state(0), [state(1), state(2)]
    found = merged(Dare(**SETTINGS | {"sign": sign, "rescale": rescale}), base, experts)
    for name in base:
        deltas = torch.stack([(e[name] - base[name]).flatten() for e in experts])
        thin = deltas * torch.stack([mask(0, name, k, 0, deltas.shape[1], 0.5) for k in (0, 1)])
        thin = 2 * thin if rescale == "inverse" else thin * (deltas.abs().sum(1) / thin.abs().sum(1))[:, None]
        joined = {"sum": thin.sum(0), "mean": thin.mean(0), "elect": elected_mean(thin)}[sign]
        torch.testing.assert_close(found[name].flatten(), base[name].flatten() + 0.7 * joined, atol=1e-6, rtol=0)


def test_masks_keep_their_share_and_hang_on_seed_tensor_and_expert_alone():
    one = mask(0, "w", 0, 0, 100_000, 0.3)
    assert float(one.float().mean()) == pytest.approx(0.3, abs=0.006)  # four standard errors
    assert torch.equal(one, mask(0, "w", 0, 0, 100_000, 0.3))
    for other in ((1, "w", 0), (0, "v", 0), (0, "w", 1)):
        assert not torch.equal(one, mask(*other, 0, 100_000, 0.3))
