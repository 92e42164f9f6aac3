import pytest
import torch
from torch import nn

from pipeline.training.optimizer import adamw, below_top, matrices, plain, trained_weights, warmed_up

SETTINGS = {"lr": 0.1, "weight_decay": 0.5, "betas": [0.9, 0.99], "layer_decay": 1.0}


def rates(steps, warmup_steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmed_up(optimizer, steps=steps, warmup_steps=warmup_steps)
    found = []
    for _ in range(steps + 2):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_rises_in_a_line_to_its_peak_and_falls_in_a_line_to_zero():
    assert rates(10, 2) == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0, 0])


def test_without_warm_up_the_first_step_has_the_peak():
    assert rates(4, 0) == pytest.approx([1, 3 / 4, 2 / 4, 1 / 4, 0, 0])


@pytest.mark.parametrize("warmup_steps", [4, 9])
def test_a_warm_up_as_long_as_the_training_or_longer_still_ends(warmup_steps):
    found = rates(4, warmup_steps)
    assert all(0 <= rate <= 1 for rate in found)
    assert found[:3] == pytest.approx([(step + 1) / (warmup_steps + 1) for step in range(3)])
    assert found[4:] == [0, 0]


def test_only_matrices_are_decayed():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = adamw(trained_weights(model), matrices(model), **SETTINGS)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.detach(), before[name] * (1 - 0.1 * 0.5 if weight.ndim > 1 else 1))


def test_frozen_weights_are_left_out():
    model = nn.Linear(3, 2)
    model.weight.requires_grad = False
    optimizer = adamw(trained_weights(model), matrices(model), **SETTINGS)
    assert [p for group in optimizer.param_groups for p in group["params"]] == [model.bias]


def test_the_settings_reach_every_group():
    layer = nn.Linear(3, 2)
    optimizer = adamw(trained_weights(layer), matrices(layer), **SETTINGS)
    assert [(group["lr"], tuple(group["betas"]), group["weight_decay"]) for group in optimizer.param_groups] == [
        (0.1, (0.9, 0.99), 0.5),
        (0.1, (0.9, 0.99), 0.0),
    ]


def test_there_is_no_group_without_weights():
    only = {"w": nn.Parameter(torch.ones(2, 2))}
    assert [len(group["params"]) for group in adamw(only, ["w"], **SETTINGS).param_groups] == [1]


def test_a_matrix_that_a_strategy_made_flat_is_decayed_by_its_name_and_a_vector_is_not():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    decayed = matrices(model)
    assert decayed == {"0.weight"}
    flat = {name: nn.Parameter(weight.detach().flatten()) for name, weight in trained_weights(model).items()}
    optimizer = adamw(flat, decayed, **SETTINGS)
    named = {id(weight): name for name, weight in flat.items()}
    groups = [
        (group["weight_decay"], sorted(named[id(weight)] for weight in group["params"])) for group in optimizer.param_groups
    ]
    assert groups == [(0.5, ["0.weight"]), (0.0, ["0.bias", "1.bias", "1.weight"])]


@pytest.mark.parametrize(
    "wrapped",
    ["a.b.weight", "_fsdp_wrapped_module.a.b.weight", "module.a.b.weight", "a._checkpoint_wrapped_module.b.weight",
     "_orig_mod.a._fsdp_wrapped_module.b.weight", "_forward_module.a.b.weight"],
)  # fmt: skip
def test_a_weight_has_one_name_whatever_wraps_it(wrapped):
    assert plain(wrapped) == "a.b.weight"


def test_a_decayed_weight_that_is_not_found_is_an_error():
    with pytest.raises(AssertionError, match=r"other"):
        adamw({"w": nn.Parameter(torch.ones(2))}, ["other"], **SETTINGS)


def test_the_rate_falls_with_each_layer_below_the_last(tiny_encoder):
    encoder = tiny_encoder()  # two blocks
    weights = trained_weights(encoder)
    optimizer = adamw(weights, matrices(encoder), **SETTINGS | {"layer_decay": 0.5})
    of = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    rates = {name: of[id(weight)] for name, weight in weights.items()}
    assert {rate for name, rate in rates.items() if ".layer.1." in name} == {0.1}
    assert {rate for name, rate in rates.items() if ".layer.0." in name} == {0.05}
    assert {rate for name, rate in rates.items() if ".embeddings." in name} == {0.025}
    plain_groups = adamw(weights, matrices(encoder), **SETTINGS).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in plain_groups] == [(0.1, 0.5), (0.1, 0.0)]


def test_layers_are_found_by_the_longest_numbered_list_in_the_names():
    trunk = ["m.0.emb.w", *(f"m.0.enc.layer.{i}.w" for i in range(12)), "m.0.norm.w", "m.2.linear.w"]
    below = below_top([f"encoder.{name}" for name in trunk] + ["objective.w"])
    assert [below[f"encoder.{name}"] for name in trunk] == [12, *range(11, -1, -1), 0, 0]
    assert below["objective.w"] == 0
    routes = [f"r.{side}.{name}" for side in ("q", "d") for name in ("emb.w", "layer.0.w", "layer.1.w", "norm.w")]
    assert [below_top(routes)[name] for name in routes] == [2, 1, 0, 0] * 2
    assert below_top(["table.w", "linear.w"]) == {"table.w": 0, "linear.w": 0}
    dense = ["m.0.emb.w", "m.0.layer.0.w", "m.0.layer.1.w", "m.2.linear.w"]  # modules and layers are as many
    assert [below_top(dense)[name] for name in dense] == [2, 1, 0, 0]
    upper = ["layer.4.w", "layer.5.w"]  # those below are not trained
    assert below_top([f"m.{name}" for name in upper]) == {"m.layer.4.w": 1, "m.layer.5.w": 0}


def test_a_layer_decay_that_would_raise_lower_rates_is_told():
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"optimizer.layer_decay must be in \(0, 1\], got 1.5"):
        adamw(trained_weights(model), matrices(model), **SETTINGS | {"layer_decay": 1.5})
