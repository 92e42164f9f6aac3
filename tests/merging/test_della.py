import pytest
import torch

from pipeline.merging.della import Della

SETTINGS = {"density": 0.5, "spread": 0.3, "norm": 1.0, "sign": "sum", "seed": 0}


def test_chances_rise_with_the_magnitude_in_a_row_and_have_the_density_as_their_mean():
    found = Della(**SETTINGS).chances(torch.tensor([[0.1, -4.0, 2.0], [3.0, 1.0, -2.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.8, 0.5], [0.8, 0.2, 0.5]]))


@pytest.mark.parametrize("shape", [(4000, 1), (1,), ()])
def test_an_element_alone_in_its_row_stays_with_the_density(merged, shape):
    delta = torch.ones(shape)
    chances = Della(**SETTINGS).chances(delta.view(delta.shape[0] if delta.ndim > 1 else 1, -1))
    assert torch.equal(chances, torch.full_like(chances, 0.5))
    if delta.numel() > 1:
        found = merged(Della(**SETTINGS), {"w": torch.zeros(shape)}, [{"w": delta}])["w"]
        assert set(found.flatten().tolist()) == {0.0, 2.0}
        assert float((found > 0).float().mean()) == pytest.approx(0.5, abs=0.035)  # four and a half standard errors


def test_what_stays_is_enlarged_so_that_the_mean_over_draws_is_the_task_vector(state, merged):
    base, one = state(0), state(1)
    draws = [merged(Della(**SETTINGS | {"seed": seed}), base, [one]) for seed in range(300)]
    method = Della(**SETTINGS)
    for name in ("layer.0.w", "b"):
        delta = one[name] - base[name]
        chances = method.chances(delta.view(len(delta) if delta.ndim > 1 else 1, -1)).view_as(delta)
        values = torch.stack([(found[name] - base[name]) for found in draws])
        kept = values.abs() > 1e-6
        torch.testing.assert_close(values[kept], (delta / chances).expand_as(values)[kept], atol=1e-5, rtol=0)
        error = (kept.float().mean(0) - chances) / (chances * (1 - chances) / 300).sqrt()
        assert error.abs().max() < 4.5  # standard deviations, over 27 elements


def test_signs_are_elected_where_that_is_asked_for(state, merged):
    base, experts = state(0), [state(k) for k in (1, 2, 3)]
    found = merged(Della(**SETTINGS | {"density": 1.0, "spread": 0.0, "sign": "elect"}), base, experts)
    for name in base:
        deltas = torch.stack([e[name] - base[name] for e in experts])
        sign = torch.where(deltas.sum(0) >= 0, 1.0, -1.0)
        agree = deltas * sign > 0
        expected = base[name] + (deltas * agree).sum(0) / agree.sum(0).clamp(min=1)
        torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("change", [{"density": 0.0}, {"spread": 0.5}, {"density": 0.9, "spread": 0.2}])
def test_settings_out_of_range_are_refused_with_their_file(change):
    with pytest.raises(ValueError, match=r"conf/merging/della.yaml"):
        Della(**SETTINGS | change)
