import pytest
import torch

from pipeline.delta import layer_of
from pipeline.merging.delta_guided import DeltaGuided

SETTINGS = {"granularity": "tensor", "beta": 1.0, "hierarchical": False, "trajectories": []}


def groups(granularity, base):
    """For each tensor, which elements share a weight: (tensor, element) -> key."""
    keys = {
        "model": lambda n, i: 0,
        "layer": lambda n, i: layer_of(n),
        "tensor": lambda n, i: n,
        "row": lambda n, i: (n, i // base[n].shape[1] if base[n].dim() > 1 else 0),
        "element": lambda n, i: (n, i),
    }
    return {(n, i): keys[granularity](n, i) for n in base for i in range(base[n].numel())}


@pytest.mark.parametrize("beta", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("granularity", ["model", "layer", "tensor", "row", "element"])
def test_the_weight_is_the_size_of_the_change_to_the_power_beta(state, merged, granularity, beta):
    base, experts = state(0), [state(1), state(2)]
    group, size = groups(granularity, base), {}
    for k, e in enumerate(experts):
        for (n, i), key in group.items():
            size[k, key] = size.get((k, key), 0) + float((e[n] - base[n]).flatten()[i].double()) ** 2
    found = merged(DeltaGuided(**SETTINGS | {"granularity": granularity, "beta": beta}), base, experts)
    for (n, i), key in group.items():
        power = [size[k, key] ** (beta / 2) for k in (0, 1)]
        at = float(base[n].flatten()[i])
        expected = at + sum(p / sum(power) * (float(e[n].flatten()[i]) - at) for p, e in zip(power, experts, strict=True))
        assert float(found[n].flatten()[i]) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("beta", [-2.0, -1.0, 0.5, 2.0])
@pytest.mark.parametrize("granularity", ["model", "layer", "tensor", "row", "element"])
def test_an_expert_that_did_not_move_has_no_say(state, merged, granularity, beta):
    base, one = state(0), state(1)
    found = merged(DeltaGuided(**SETTINGS | {"granularity": granularity, "beta": beta}), base, [base, one])
    for name in base:
        torch.testing.assert_close(found[name], one[name], atol=1e-6, rtol=0)


def test_at_beta_zero_an_expert_that_did_not_move_counts_as_in_the_soup(state, merged):
    base, one = state(0), state(1)
    found = merged(DeltaGuided(**SETTINGS | {"beta": 0.0}), base, [base, one])
    for name in base:
        torch.testing.assert_close(found[name], (base[name] + one[name]) / 2, atol=1e-6, rtol=0)


def test_hierarchical_weights_multiply_those_of_layer_and_tensor(state, models):
    given = models(state(0), [state(1), state(2)])
    found = {}
    for name, change in (("layer", {"granularity": "layer"}), ("tensor", {}), ("both", {"hierarchical": True})):
        found[name] = DeltaGuided(**SETTINGS | change).coefficients(given)
    for n in state(0):
        product = [a * b for a, b in zip(found["layer"][n], found["tensor"][n], strict=True)]
        assert found["both"][n] == pytest.approx([p / sum(product) for p in product])


def test_a_layer_is_named_up_to_its_number():
    assert layer_of("encoder.layer.3.output.dense.weight") == "encoder.layer.3"
    assert layer_of("embeddings.word.weight") == "embeddings"


@pytest.mark.parametrize("granularity", ["model", "layer", "tensor", "row", "element"])
def test_checkpoints_of_one_trajectory_are_fused_before_the_trajectories_are(state, merged, granularity):
    """Two merges by hand, then one of the two results."""
    base, experts = state(0), [state(k) for k in (1, 2, 3)]
    settings = SETTINGS | {"granularity": granularity}
    first = merged(DeltaGuided(**settings), base, experts[:2])
    expected = merged(DeltaGuided(**settings), base, [first, experts[2]])
    found = merged(DeltaGuided(**settings | {"trajectories": [2, 1]}), base, experts)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=2e-6, rtol=0)
    flat = merged(DeltaGuided(**settings), base, experts)
    assert any((found[name] - flat[name]).abs().max() > 1e-3 for name in flat)


@pytest.mark.parametrize("trajectories", [[2, 2], [3, 0]])
def test_trajectories_that_do_not_add_up_are_told(state, merged, trajectories):
    with pytest.raises(ValueError, match=r"trajectories: expected numbers of experts with the sum 3"):
        merged(DeltaGuided(**SETTINGS | {"trajectories": trajectories}), state(0), [state(k) for k in (1, 2, 3)])
